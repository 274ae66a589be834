// Launchers are recognised by their variables, and an incomplete or malformed launch is refused by name.
#include <catch2/catch.hpp>
#include <map>
#include <shardproof/engine/environment.hpp>
namespace sp = shardproof;
using variables = std::map<std::string, std::string>;

namespace {
sp::launch read(const variables& v) {
  return sp::read_launch([&](const char* name) -> const char* {
    const auto i = v.find(name);
    return i == v.end() ? nullptr : i->second.c_str();
  });
}
/// The message of the refusal; empty if there is none.
std::string refusal(const variables& v) {
  try {
    (void)read(v);
  } catch (const sp::error& e) { return e.which() == sp::code::no_launcher ? e.what() : "another code"; }
  return "";
}
variables without(variables v, const std::string& name) {
  v.erase(name);
  return v;
}
variables with(variables v, const std::string& name, const std::string& value) {
  v[name] = value;
  return v;
}

const variables torchrun{
    {"RANK", "5"},           {"WORLD_SIZE", "8"}, {"LOCAL_RANK", "1"}, {"LOCAL_WORLD_SIZE", "4"}, {"MASTER_ADDR", "node-0"},
    {"MASTER_PORT", "29500"}};
const variables openmpi{{"OMPI_COMM_WORLD_RANK", "3"},
                        {"OMPI_COMM_WORLD_SIZE", "4"},
                        {"OMPI_COMM_WORLD_LOCAL_RANK", "1"},
                        {"OMPI_COMM_WORLD_LOCAL_SIZE", "2"}};
const variables slurm{{"SLURM_PROCID", "7"}, {"SLURM_NTASKS", "16"}, {"SLURM_LOCALID", "3"}};
const variables pmi{{"PMI_RANK", "1"}, {"PMI_SIZE", "2"}};
}  // namespace

TEST_CASE("a process without a launcher is rank 0 of 1", "[environment]") {
  const sp::launch l = read({});
  CHECK(l.by == sp::launcher::none);
  CHECK(l.rank == 0);
  CHECK(l.world_size == 1);
  CHECK(l.local_rank == 0);
}

TEST_CASE("each launcher is recognised by its variables", "[environment]") {
  const sp::launch t = read(torchrun);
  CHECK(t.by == sp::launcher::torchrun);
  CHECK(t.rank == 5);
  CHECK(t.world_size == 8);
  CHECK(t.local_rank == 1);
  CHECK(t.local_world_size == 4);
  CHECK(t.master_address == "node-0");
  CHECK(t.master_port == 29500);

  const sp::launch o = read(openmpi);
  CHECK(o.by == sp::launcher::openmpi);
  CHECK(o.rank == 3);
  CHECK(o.world_size == 4);
  CHECK(o.local_rank == 1);
  CHECK(o.local_world_size == 2);

  const sp::launch s = read(slurm);
  CHECK(s.by == sp::launcher::slurm);
  CHECK(s.rank == 7);
  CHECK(s.world_size == 16);
  CHECK(s.local_rank == 3);
  CHECK(s.local_world_size == 0);

  const sp::launch p = read(pmi);
  CHECK(p.by == sp::launcher::pmi);
  CHECK(p.rank == 1);
  CHECK(p.world_size == 2);
  CHECK(p.local_rank == -1);
  CHECK(read(with(pmi, "MPI_LOCALRANKID", "1")).local_rank == 1);
  CHECK(std::string(sp::name_of(p.by)) == "pmi");
}

TEST_CASE("every needed variable is named when it is missing", "[environment]") {
  const auto missing = [](const variables& v, const std::string& name) {
    INFO(name);
    CHECK(refusal(without(v, name)) ==
          "shardproof[SP503] the launch environment is incomplete: " + name +
              " is not set. Fix: start the program by a launcher, or pass rank, world size and rendezvous explicitly.");
  };
  for (const char* name : {"RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"}) missing(torchrun, name);
  for (const char* name : {"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK"}) missing(openmpi, name);
  for (const char* name : {"SLURM_NTASKS", "SLURM_LOCALID"}) missing(slurm, name);
  for (const char* name : {"PMI_RANK", "PMI_SIZE"}) missing(pmi, name);
  CHECK(refusal({{"RANK", "0"}}).find("WORLD_SIZE is not set") != std::string::npos);
}

TEST_CASE("what a launcher need not say is optional", "[environment]") {
  CHECK(read(without(torchrun, "LOCAL_WORLD_SIZE")).local_world_size == 0);
  CHECK(read(without(openmpi, "OMPI_COMM_WORLD_LOCAL_SIZE")).local_world_size == 0);
  CHECK(read({{"RANK", "0"}, {"WORLD_SIZE", "1"}, {"LOCAL_RANK", "0"}}).master_port == 0);
  // A shell of salloc has the number of tasks, and is none of them.
  CHECK(read(without(without(slurm, "SLURM_PROCID"), "SLURM_LOCALID")).by == sp::launcher::none);
}

TEST_CASE("malformed values are refused with their variable", "[environment]") {
  const auto refused = [](const variables& v, const std::string& name, const std::string& value) {
    INFO(name << "=" << value);
    const std::string text = refusal(with(v, name, value));
    CHECK(text.find("shardproof[SP503] the launch environment is malformed: " + name + " is ") == 0);
    CHECK(text.find(value) != std::string::npos);
  };
  for (const char* bad : {"", " ", "x", "1x", "1 ", " 1", "+1", "0x1", "1.0", "99999999999999999999"})
    for (const char* name : {"RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_PORT"}) refused(torchrun, name, bad);
  refused(torchrun, "RANK", "8");
  refused(torchrun, "RANK", "-1");
  refused(torchrun, "WORLD_SIZE", "0");
  refused(torchrun, "WORLD_SIZE", "-8");
  refused(torchrun, "LOCAL_RANK", "4");
  refused(torchrun, "LOCAL_WORLD_SIZE", "9");
  refused(torchrun, "MASTER_PORT", "0");
  refused(torchrun, "MASTER_PORT", "65536");
  refused(openmpi, "OMPI_COMM_WORLD_RANK", "4");
  refused(openmpi, "OMPI_COMM_WORLD_LOCAL_RANK", "2");
  refused(slurm, "SLURM_PROCID", "16");
  refused(slurm, "SLURM_LOCALID", "-2");
  refused(pmi, "PMI_SIZE", "two");
  CHECK(refusal(with(torchrun, "MASTER_ADDR", "")).find("MASTER_ADDR is not set") != std::string::npos);
}

TEST_CASE("the innermost of several launchers counts, if it is complete", "[environment]") {
  const auto both = [](variables a, const variables& b) {
    a.insert(b.begin(), b.end());
    return a;
  };
  CHECK(read(both(torchrun, slurm)).by == sp::launcher::torchrun);
  CHECK(read(both(openmpi, slurm)).by == sp::launcher::openmpi);
  CHECK(read(both(pmi, slurm)).by == sp::launcher::pmi);
  CHECK(read(both({{"RANK", "3"}}, openmpi)).by == sp::launcher::openmpi);
  CHECK(refusal(both({{"RANK", "3"}}, {{"PMI_SIZE", "2"}})).find("WORLD_SIZE is not set") != std::string::npos);
}

TEST_CASE("the environment of the process is read", "[environment]") {
  for (const auto& v : sp::detail::known_launchers)
    for (const char* name : {v.rank, v.size, v.local_rank, v.local_size})
      if (name) unsetenv(name);
  CHECK(sp::launch_environment().by == sp::launcher::none);
  setenv("OMPI_COMM_WORLD_RANK", "1", 1);
  setenv("OMPI_COMM_WORLD_SIZE", "2", 1);
  setenv("OMPI_COMM_WORLD_LOCAL_RANK", "1", 1);
  const sp::launch l = sp::launch_environment();
  for (const char* name : {"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK"}) unsetenv(name);
  CHECK(l.by == sp::launcher::openmpi);
  CHECK(l.rank == 1);
}
