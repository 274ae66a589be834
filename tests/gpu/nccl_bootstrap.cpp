// How the processes of engine `nccl` meet: NCCL's id by TCP and by file, and every way in which that goes wrong. No GPU is needed.
#include <catch2/catch.hpp>
#include <fstream>
#include <map>
#include <sys/wait.h>
#include <shardproof/engine/nccl/failure.hpp>
#include <shardproof/engine/nccl/id_file.hpp>
#include "free_port.hpp"
#include "scratch_folder.hpp"
#include "thrown.hpp"
namespace sp = shardproof;
namespace nccl = sp::nccl;

namespace {

using variables = std::map<std::string, std::string>;
double since(nccl::moment t) { return std::chrono::duration<double>(nccl::now() - t).count(); }
nccl::unique_id some_id(int seed = 1) {
  nccl::unique_id id;
  for (std::size_t i = 0; i < id.size(); ++i) id[i] = char(int(i) * 7 + seed);      // zeros and all else
  return id;
}
std::uint64_t some_token() { return std::uint64_t(::getpid()) << 8 | 5; }           // other processes of this test have others
nccl::place by_port(int port, std::uint64_t token = some_token()) { return {"127.0.0.1", port, "", token}; }
std::string at(int port) { return "127.0.0.1:" + std::to_string(port); }

/// What each of the ranks that meet gets, or throws.
struct outcome {
  nccl::unique_id id{};
  std::size_t lines = 0;
  std::string said;
  double seconds = 0;
};
struct visitor {
  nccl::newcomer who;
  nccl::place where;
  double limit = 5, late = 0;
};
std::vector<outcome> meet(const std::vector<visitor>& all, const std::function<nccl::unique_id()>& make_id = [] { return some_id(); }) {
  std::vector<outcome> out(all.size());
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < all.size(); ++i)
    threads.emplace_back([&, i] {
      const visitor& v = all[i];
      std::this_thread::sleep_for(std::chrono::duration<double>(v.late));
      const auto start = nccl::now();
      out[i].said = thrown([&] {
        nccl::company c = v.where.file.empty() ? nccl::meet_by_tcp(v.where, v.who, make_id, v.limit) : nccl::meet_by_file(v.where, v.who, make_id, v.limit);
        out[i].id = c.id;
        out[i].lines = c.lines.size();
      });
      out[i].seconds = since(start);
    });
  for (auto& t : threads) t.join();
  return out;
}
std::vector<visitor> visitors(int size, const nccl::place& where, double limit = 5) {
  std::vector<visitor> all;
  for (int r = 0; r < size; ++r) all.push_back({{r, size, 22809}, where, limit, 0});
  return all;
}
/// Sends these bytes to a port and reads until the other side closes.
std::string stranger(int port, const std::string& bytes) {
  const nccl::descriptor fd = nccl::connect_to("127.0.0.1", port, nccl::after(2));
  if (!fd || !nccl::send_all(fd, bytes.data(), bytes.size(), nccl::after(1))) return "";
  std::string got(4000, '\0');
  std::size_t n = 0;
  (void)nccl::receive_all(fd, got.data(), got.size(), nccl::after(1), n);
  return got.substr(0, n);
}
sp::launch launched(int rank, int size, int local_size = 0) {
  sp::launch l;
  l.by = sp::launcher::openmpi;
  l.rank = rank, l.world_size = size, l.local_world_size = local_size;
  return l;
}
nccl::place read(const sp::launch& l, const variables& v) {
  return nccl::read_place(l, [&](const char* name) -> const char* {
    const auto i = v.find(name);
    return i == v.end() ? nullptr : i->second.c_str();
  });
}

}  // namespace

// ---- where ranks meet
TEST_CASE("nccl: ranks meet where the launcher's variables say", "[nccl]") {
  CHECK(read(launched(1, 4), {{"MASTER_ADDR", "node-0"}, {"MASTER_PORT", "29500"}}).host == "node-0");
  CHECK(read(launched(1, 4), {{"MASTER_ADDR", "node-0"}, {"MASTER_PORT", "29500"}}).port == 29500);
  CHECK(read(launched(1, 4), {{"MASTER_ADDR", "node-0"}, {"MASTER_PORT", "29500"}, {"SHARDPROOF_NCCL_PORT", "30000"}}).port == 30000);
  sp::launch torch = launched(1, 4);
  torch.by = sp::launcher::torchrun, torch.master_address = "node-1", torch.master_port = 29400;
  CHECK(read(torch, {}).host == "node-1");
  CHECK(read(torch, {}).port == 29400);
  CHECK(read(torch, {{"TORCHELASTIC_USE_AGENT_STORE", "True"}}).port == 29401);       // torchrun itself listens at 29400
  CHECK(read(torch, {{"TORCHELASTIC_USE_AGENT_STORE", "False"}}).port == 29400);
  torch.master_port = 65535;
  CHECK(read(torch, {{"TORCHELASTIC_USE_AGENT_STORE", "True"}}).port == 65534);
  CHECK(read(launched(1, 4, 4), {}).host == "127.0.0.1");                             // one machine
  CHECK(read(launched(1, 4, 4), {}).port == nccl::usual_port);
  CHECK(read(launched(1, 4), {{"SHARDPROOF_NCCL_ID_FILE", "/x/id"}, {"SHARDPROOF_NCCL_TOKEN", "a"}}).file == "/x/id");
}

TEST_CASE("nccl: a place that is not said or malformed is refused by name", "[nccl]") {
  const auto refused = [](const variables& v, const std::string& what) {
    const std::string said = thrown([&] { read(launched(1, 4), v); });
    INFO(said);
    CHECK(contains(said, "shardproof[SP503] "));
    CHECK(contains(said, what));
    CHECK(contains(said, " Fix: "));
  };
  refused({}, "MASTER_ADDR is not set");
  refused({{"MASTER_ADDR", ""}}, "MASTER_ADDR is not set");
  refused({{"MASTER_ADDR", "a"}}, "MASTER_PORT is not set");
  refused({{"MASTER_ADDR", "a"}, {"MASTER_PORT", "http"}}, "MASTER_PORT is \"http\", not a whole number");
  refused({{"MASTER_ADDR", "a"}, {"SHARDPROOF_NCCL_PORT", "70000"}}, "SHARDPROOF_NCCL_PORT is 70000, not a port");
  refused({{"SHARDPROOF_NCCL_ID_FILE", "/x/id"}}, "SHARDPROOF_NCCL_TOKEN is not set");
  refused({{"SHARDPROOF_NCCL_ID_FILE", "/x/id"}, {"TORCHELASTIC_RUN_ID", "none"}}, "SHARDPROOF_NCCL_TOKEN is not set");
}

TEST_CASE("nccl: a run's token is its job's, and differs from other runs'", "[nccl]") {
  const auto token = [](const variables& v) { return read(launched(0, 2, 2), v).token; };
  CHECK(token({}) == 0);
  const std::vector<variables> runs{{{"SHARDPROOF_NCCL_TOKEN", "a"}},
                                    {{"SHARDPROOF_NCCL_TOKEN", "b"}},
                                    {{"TORCHELASTIC_RUN_ID", "x"}, {"TORCHELASTIC_RESTART_COUNT", "0"}},
                                    {{"TORCHELASTIC_RUN_ID", "x"}, {"TORCHELASTIC_RESTART_COUNT", "1"}},
                                    {{"SLURM_JOB_ID", "12"}, {"SLURM_STEP_ID", "3"}},
                                    {{"SLURM_JOB_ID", "1"}, {"SLURM_STEP_ID", "23"}},
                                    {{"PMIX_NAMESPACE", "prterun-1"}}};
  for (std::size_t i = 0; i < runs.size(); ++i)
    for (std::size_t j = 0; j < runs.size(); ++j) CHECK((token(runs[i]) == token(runs[j])) == (i == j));
  CHECK(token({{"SHARDPROOF_NCCL_TOKEN", "a"}, {"SLURM_JOB_ID", "12"}}) == token(runs[0]));
}

// ---- by TCP
TEST_CASE("nccl: all ranks get the id of rank 0 over TCP, in any order of arrival", "[nccl]") {
  for (const int size : {2, 3, 9}) {
    std::vector<visitor> all = visitors(size, by_port(free_port()));
    for (int r = 0; r < size; ++r) all[std::size_t(r)].late = 0.02 * ((r * 5 + 2) % size);
    int made = 0;
    const auto out = meet(all, [&] { return ++made, some_id(size); });
    for (int r = 0; r < size; ++r) {
      CHECK(out[std::size_t(r)].said == "");
      CHECK(out[std::size_t(r)].id == some_id(size));
      CHECK(out[std::size_t(r)].lines == (r == 0 ? std::size_t(size) : 1u));
    }
    CHECK(made == 1);
  }
}

TEST_CASE("nccl: processes meet over TCP", "[nccl]") {
  const nccl::place where = by_port(free_port());
  std::vector<pid_t> children;
  for (int r = 1; r < 4; ++r) {
    const pid_t child = ::fork();
    if (child == 0) {
      try {
        const nccl::company c = nccl::meet_by_tcp(where, {r, 4, 22809}, [] { return some_id(0); }, 5);
        ::_exit(c.id == some_id(3) ? 0 : 1);
      } catch (const sp::error&) { ::_exit(2); }
    }
    children.push_back(child);
  }
  CHECK(nccl::meet_by_tcp(where, {0, 4, 22809}, [] { return some_id(3); }, 5).id == some_id(3));
  for (const pid_t child : children) {
    int status = -1;
    REQUIRE(::waitpid(child, &status, 0) == child);
    CHECK((WIFEXITED(status) && WEXITSTATUS(status) == 0));
  }
}

TEST_CASE("nccl: missing ranks are named on all ranks when the time is up", "[nccl]") {
  const int port = free_port();
  std::vector<visitor> all = visitors(5, by_port(port), 0.3);
  all.erase(all.begin() + 4);
  all.erase(all.begin() + 2);
  const auto out = meet(all);
  for (const outcome& o : out) {
    INFO(o.said);
    CHECK(contains(o.said, "shardproof[SP502] ranks 2 and 4 of 5 did not come to rank 0 at " + at(port) + " within 0.3 s. Fix: start all ranks"));
    CHECK(o.seconds < 1);
  }
  CHECK(out[0].said == out[1].said);
  const auto alone = meet({{{0, 2, 22809}, by_port(port), 0.1, 0}});
  CHECK(contains(alone[0].said, "rank 1 of 2 did not come"));
  const auto many = meet({{{0, 40, 22809}, by_port(port), 0.1, 0}});
  CHECK(contains(many[0].said, "ranks 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12 and 27 more of 40 did not come"));
}

TEST_CASE("nccl: a rank that finds no rank 0 says where it looked", "[nccl]") {
  const int port = free_port();
  const auto out = meet({{{3, 5, 22809}, by_port(port), 0.2, 0}});
  CHECK(contains(out[0].said,
                 "shardproof[SP502] rank 0 was lost or did not listen at " + at(port) + " within 0.2 s: rank 3 could not reach it. Fix: start rank 0"));
  CHECK(out[0].seconds < 1);
}

TEST_CASE("nccl: a port that is taken, a host that is unknown or not here", "[nccl]") {
  const int port = free_port();
  const nccl::descriptor other = nccl::listen_at("127.0.0.1", port, 1);
  std::string said = meet({{{0, 2, 22809}, by_port(port), 0.3, 0}})[0].said;
  CHECK(contains(said, "shardproof[SP503] rank 0 cannot listen at " + at(port) +
                           ": the port is taken, by another run or by the launcher itself. Fix: set SHARDPROOF_NCCL_PORT"));
  for (const int rank : {0, 1}) {
    said = meet({{{rank, 2, 22809}, {"no-such-host.invalid", port, "", 1}, 0.3, 0}})[0].said;
    INFO(said);
    CHECK((contains(said, "shardproof[SP503] the host no-such-host.invalid, where rank 0 listens, is not known here") ||
           contains(said, "no-such-host.invalid")));                                 // a resolver that is not there may only say "try again"
  }
  const int free = free_port();                                                      // an address of no interface: translated on the way
  const nccl::descriptor anywhere = nccl::listen_at("192.0.2.1", free, 1);
  CHECK(bool(anywhere));
}

TEST_CASE("nccl: ranks that do not fit together are refused on every rank that has come", "[nccl]") {
  struct wrong { const char* name; std::vector<visitor> all; std::string said; };
  const auto rank = [](int r, int size, int port, int version = 22809, double late = 0) { return visitor{{r, size, version}, by_port(port), 2, late}; };
  for (const int which : {0, 1, 2, 3, 4}) {
    const int p = free_port();
    const std::string came = " of 4, which came to rank 0 at " + at(p) + ", ";
    const wrong cases[] = {
        {"world size",
         {rank(0, 4, p), rank(1, 4, p), rank(2, 8, p, 22809, 0.2)},
         "rank 2 of 8, which came to rank 0 at " + at(p) + ", was started in a world of another size than rank 0, of 4."},
        {"twice", {rank(0, 4, p), rank(1, 4, p), rank(1, 4, p, 22809, 0.2)}, "rank 1" + came + "is there twice."},
        {"two of rank 0", {rank(0, 4, p), rank(1, 4, p), rank(4, 4, p, 22809, 0.2)}, "rank 4" + came + "has a rank that only ranks 1 to 3 may have here."},
        {"negative",
         {rank(0, 4, p), rank(1, 4, p), rank(-1, 4, p, 22809, 0.2)},
         "rank 4294967295" + came + "has a rank that only ranks 1 to 3 may have here."},
        {"NCCL", {rank(0, 4, p), rank(1, 4, p), rank(2, 4, p, 21900, 0.2)}, "rank 2" + came + "has NCCL 21900, and rank 0 has 22809."},
    };
    const wrong& w = cases[which];
    const auto out = meet(w.all);
    CAPTURE(w.name);
    for (const outcome& o : out) {
      INFO(o.said);
      CHECK(contains(o.said, "shardproof[SP503] " + w.said + " Fix: "));
      CHECK(o.seconds < 1);
      CHECK(o.said == out[0].said);
    }
  }
}

TEST_CASE("nccl: a rank of another run is sent away, and does not disturb", "[nccl]") {
  const int port = free_port();
  std::vector<visitor> all = visitors(3, by_port(port));
  all[2].late = 0.2;
  all.push_back({{1, 3, 22809}, by_port(port, 6), 2, 0.05});
  const auto out = meet(all);
  for (std::size_t r = 0; r < 3; ++r) CHECK(out[r].said == "");
  CHECK(contains(out[3].said, "shardproof[SP503] rank 1 of 3, which came to rank 0 at " + at(port) +
                                  ", belongs to another run than rank 0. Fix: give each run a port of its own"));
}

TEST_CASE("nccl: a rank of another version of the protocol is refused", "[nccl]") {
  const int port = free_port();
  std::string answered;
  std::thread old([&] {
    nccl::detail::hello h = nccl::detail::hello_of({1, 2, 22809}, some_token());
    h.protocol = 9;
    answered = stranger(port, std::string(reinterpret_cast<const char*>(&h), sizeof h));
  });
  const std::string said = meet({{{0, 2, 22809}, by_port(port), 2, 0}})[0].said;
  old.join();
  CHECK(contains(said, "shardproof[SP503] rank 1 of 2, which came to rank 0 at " + at(port) + ", speaks version 9 of the protocol, not 1."));
  CHECK(contains(answered, "speaks version 9"));
}

TEST_CASE("nccl: strangers at the port are closed, and told of only if ranks are missing", "[nccl]") {
  const int port = free_port();
  std::vector<std::thread> strangers;
  const auto disturb = [&] {
    strangers.emplace_back([port] { stranger(port, "GET / HTTP/1.1\r\n\r\n"); });
    strangers.emplace_back([port] { stranger(port, "SP-"); });                       // begins well and says no more
    strangers.emplace_back([port] { stranger(port, ""); });
    strangers.emplace_back([port] { nccl::connect_to("127.0.0.1", port, nccl::after(2)); });
  };
  std::vector<visitor> all = visitors(3, by_port(port));
  all[1].late = all[2].late = 0.3;
  disturb();
  for (const outcome& o : meet(all)) CHECK(o.said == "");
  for (auto& t : std::exchange(strangers, {})) t.join();
  strangers.emplace_back([port] { stranger(port, "GET / HTTP/1.1\r\n\r\n"); });
  const std::string said = meet({{{0, 2, 22809}, by_port(port), 0.4, 0}})[0].said;
  for (auto& t : strangers) t.join();
  INFO(said);
  CHECK(contains(said, "SP502] rank 1 of 2 did not come"));
  CHECK(contains(said, "[1 connections were no ranks of this run; the first: GET / HT]"));
}

TEST_CASE("nccl: a rank that leaves before all have come ends the meeting", "[nccl]") {
  const int port = free_port();
  std::thread leaver([port] {
    const nccl::descriptor fd = nccl::connect_to("127.0.0.1", port, nccl::after(2));
    const nccl::detail::hello h = nccl::detail::hello_of({2, 4, 22809}, some_token());
    (void)nccl::send_all(fd, &h, sizeof h, nccl::after(1));
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
  });
  std::vector<visitor> all = visitors(2, by_port(port), 3);
  for (auto& v : all) v.who.size = 4;
  const auto out = meet(all);
  leaver.join();
  for (const outcome& o : out) {
    CHECK(contains(o.said, "shardproof[SP502] rank 2 was lost: it came to rank 0 at " + at(port) + ", and left before all ranks had come. Fix: "));
    CHECK(o.seconds < 1.5);
  }
}

TEST_CASE("nccl: what rank 0 cannot make is told to all", "[nccl]") {
  const auto out =
      meet(visitors(3, by_port(free_port())), []() -> nccl::unique_id { throw sp::error(sp::code::device_failed, "NCCL failed at an id.", "reboot."); });
  for (const outcome& o : out) CHECK(o.said == "shardproof[SP506] NCCL failed at an id. Fix: reboot.");
}

TEST_CASE("nccl: something else at rank 0's port, and a rank 0 that says nothing or goes", "[nccl]") {
  struct other { std::string answer; bool stays; std::string said; };
  const other others[] = {{"HTTP/1.1 400 Bad Request\r\n", false, "is no rank 0 of this library's: it answers \"HTTP/1.1\". Fix: set SHARDPROOF_NCCL_PORT"},
                          {"SSH", false, "is no rank 0 of this library's: it answers \"SSH\""},
                          {"", true, "rank 0 was lost: it listened at "},
                          {"", false, "rank 0 was lost: it listened at "},
                          {std::string("SP-NCCL\n\x01\0\0\0", 12), false, "rank 0 was lost: it listened at "},
                          {std::string("SP-NCCL\n\x02\0\0\0", 12), false, "is no rank 0 of this library's"}};
  for (const other& o : others) {
    const int port = free_port();
    const nccl::descriptor door = nccl::listen_at("127.0.0.1", port, 1);
    std::thread host([&] {
      pollfd p{door.get(), POLLIN, 0};
      (void)::poll(&p, 1, 2000);
      const nccl::descriptor fd(::accept4(door.get(), nullptr, nullptr, SOCK_CLOEXEC));
      char said[32];
      (void)!::read(fd.get(), said, sizeof said);
      (void)nccl::send_all(fd, o.answer.data(), o.answer.size(), nccl::after(1));
      if (o.stays) std::this_thread::sleep_for(std::chrono::milliseconds(600));
    });
    const outcome out = meet({{{1, 2, 22809}, by_port(port), 0.3, 0}})[0];
    host.join();
    INFO(out.said);
    CHECK(contains(out.said, o.said));
    CHECK(contains(out.said, at(port)));
    CHECK(out.seconds < 1);
  }
}

// ---- by a file
TEST_CASE("nccl: all ranks get the id by a file, an old one of another run notwithstanding", "[nccl]") {
  const scratch_folder dir;
  const nccl::place old{"", 0, dir.at("id"), 1}, where{"", 0, dir.at("id"), 2};
  for (const outcome& o : meet(visitors(3, old), [] { return some_id(1); })) CHECK(o.id == some_id(1));
  CHECK(dir.names() == std::vector<std::string>{"id"});                              // nothing is left aside
  std::vector<visitor> all = visitors(4, where);
  all[0].late = 0.2;
  for (const outcome& o : meet(all, [] { return some_id(2); })) {
    CHECK(o.said == "");
    CHECK(o.id == some_id(2));
    CHECK(o.lines == 0);
  }
  nccl::forget_id_file(old);
  CHECK(dir.names() == std::vector<std::string>{"id"});                              // it is not the old run's
  nccl::forget_id_file(where);
  CHECK(dir.names().empty());
  nccl::forget_id_file(where);
  dir.put("id", "");                                                                 // made by mktemp
  std::vector<visitor> again = visitors(2, where);
  again[0].late = 0.1;
  for (const outcome& o : meet(again)) CHECK(o.said == "");
}

TEST_CASE("nccl: processes meet by a file", "[nccl]") {
  const scratch_folder dir;
  const nccl::place where{"", 0, dir.at("id"), 2};
  const pid_t child = ::fork();
  if (child == 0) {
    try {
      ::_exit(nccl::meet_by_file(where, {1, 2, 22809}, [] { return some_id(0); }, 5).id == some_id(4) ? 0 : 1);
    } catch (const sp::error&) { ::_exit(2); }
  }
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  (void)nccl::meet_by_file(where, {0, 2, 22809}, [] { return some_id(4); }, 5);
  int status = -1;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK((WIFEXITED(status) && WEXITSTATUS(status) == 0));
}

TEST_CASE("nccl: id files that are late, old, another's or not writable", "[nccl]") {
  const scratch_folder dir;
  const nccl::place where{"", 0, dir.at("id"), 2};
  const auto one = [&](int rank, int size = 2, int version = 22809, double limit = 0.15) { return meet({{{rank, size, version}, where, limit, 0}})[0]; };
  outcome o = one(1);
  CHECK(contains(
      o.said, "shardproof[SP502] rank 0 was lost or did not write the id file " + dir.at("id") + " within 0.15 s: rank 1 waits for it. Fix: start rank 0"));
  CHECK(o.seconds < 1);
  (void)nccl::meet_by_file({"", 0, dir.at("id"), 1}, {0, 2, 22809}, [] { return some_id(); }, 1);
  CHECK(contains(one(1).said, "rank 1 waits for it, and found one of another run. Fix: give all ranks of a run one SHARDPROOF_NCCL_TOKEN"));
  (void)nccl::meet_by_file(where, {0, 2, 22809}, [] { return some_id(); }, 1);
  CHECK(contains(one(1, 4).said, "shardproof[SP503] rank 1 of 4 found an id file of a world of 2: " + dir.at("id")));
  CHECK(contains(one(7).said, "shardproof[SP503] rank 7 of 2 found an id file of a world of 2"));
  CHECK(contains(one(1, 2, 21900).said, "shardproof[SP503] rank 1 has NCCL 21900, and rank 0 has 22809."));
  std::string bytes = dir.get("id");
  for (const std::size_t byte : {0ul, 20ul, 24ul, 100ul}) {                           // garbage, wherever it is
    std::string bad = bytes;
    bad[byte] = char(bad[byte] ^ 1);
    dir.put("id", bad);
    for (const int rank : {0, 1}) {
      CHECK(contains(one(rank).said, "shardproof[SP503] the file " + dir.at("id") + " is no id file. Fix: name another file in SHARDPROOF_NCCL_ID_FILE"));
      CHECK(dir.get("id") == bad);
    }
  }
  for (const std::string& bad : {std::string("hello"), bytes + "x", bytes.substr(1)}) {
    dir.put("id", bad);
    CHECK(contains(one(0).said, "is no id file"));
    CHECK(contains(one(1).said, "is no id file"));
  }
  const nccl::place nowhere{"", 0, dir.at("no/such/id"), 2};
  CHECK(contains(meet({{{0, 2, 22809}, nowhere, 0.1, 0}})[0].said,
                 "shardproof[SP503] rank 0 cannot write the id file " + dir.at("no/such/id") + ". Fix: name a file in a folder that all ranks share"));
}

// ---- what ranks know of each other afterwards
namespace {
/// The fates of all ranks of a run that has met.
struct crowd {
  std::vector<std::unique_ptr<nccl::fate>> fates;
  explicit crowd(int size) : fates(std::size_t(size)) {
    const int port = free_port();
    std::vector<std::thread> threads;
    for (int r = 0; r < size; ++r)
      threads.emplace_back([this, r, size, port] {
        nccl::company c = nccl::meet_by_tcp(by_port(port), {r, size, 22809}, [] { return some_id(); }, 5);
        fates[std::size_t(r)] = std::make_unique<nccl::fate>(r, size, std::move(c.lines));
      });
    for (auto& t : threads) t.join();
  }
  nccl::fate& operator[](int r) { return *fates[std::size_t(r)]; }
  void listen() {
    for (int round = 0; round < 6; ++round)
      for (auto& f : fates)
        if (f) f->listen(2);
  }
  std::string stops(int r) { return fates[std::size_t(r)]->failed() ? thrown([&] { fates[std::size_t(r)]->stop("all_reduce #3 of layers.0"); }) : ""; }
};
}  // namespace

TEST_CASE("nccl: a rank's failure is told to all others, in its words; later ones are consequences", "[nccl]") {
  for (const int culprit : {0, 1, 3}) {
    crowd c(4);
    c[culprit].fail(sp::error(sp::code::usage, "no such flag.", "none."));
    c.listen();
    for (int r = 0; r < 4; ++r) {
      INFO(c.stops(r));
      const std::string own = "shardproof[SP001] no such flag. Fix: none.";
      CHECK(c.stops(r) == (r == culprit ? own
                                        : "shardproof[SP502] rank " + std::to_string(culprit) + " was lost (it threw: " + own +
                                              "), so that this rank stops at all_reduce #3 of layers.0. Fix: " + sp::in_process::fix_lost));
      CHECK(thrown([&] { std::rethrow_exception(c[r].cause()); }) ==
            (r == culprit ? own
                          : "shardproof[SP502] rank " + std::to_string(culprit) + " was lost (it threw: " + own +
                                "), so that this rank stops. Fix: " + sp::in_process::fix_lost));
    }
    const std::string before = c.stops(2);
    c[2].fail(std::make_exception_ptr(std::runtime_error("a consequence")));
    c.listen();
    for (int r = 0; r < 4; ++r) CHECK_FALSE(contains(c.stops(r), "a consequence"));
    CHECK(c.stops(2) == before);
  }
}

TEST_CASE("nccl: a process that ends without a word is lost, one that has returned is not", "[nccl]") {
  for (const int culprit : {0, 2}) {
    crowd c(4);
    c.fates[std::size_t(culprit)].reset();
    c.listen();
    for (int r = 0; r < 4; ++r)
      if (r != culprit)
        CHECK(contains(c.stops(r), "shardproof[SP502] rank " + std::to_string(culprit) + " was lost (its process ended), so that this rank stops at "));
  }
  crowd c(3);
  c[2].leave();
  c.listen();
  CHECK(c[0].has_returned(2));
  CHECK(c[1].has_returned(2));
  CHECK_FALSE(c[1].others_have_returned());
  c.fates[2].reset();
  c.listen();
  CHECK_FALSE(c[0].failed());
  CHECK_FALSE(c[1].failed());
  c[0].leave();
  c.listen();
  CHECK(c[1].others_have_returned());
  c[1].leave();
  c.listen();
  CHECK(c[0].others_have_returned());
  c.fates[0].reset();
  c.listen();
  CHECK_FALSE(c[1].failed());
}

TEST_CASE("nccl: a failure that is no sp::error, and ranks without lines", "[nccl]") {
  crowd c(2);
  c[1].fail(std::make_exception_ptr(7));
  c.listen();
  CHECK(contains(c.stops(0), "rank 1 was lost (it threw an exception), so that this rank stops at "));
  CHECK_THROWS_AS(c[1].stop("here"), int);
  nccl::fate alone(1, 2, {});
  CHECK_FALSE(alone.has_lines());
  alone.listen(1);
  alone.leave();
  alone.fail(sp::error(sp::code::usage, "a.", "b."));
  CHECK(alone.failed());
}
