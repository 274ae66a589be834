// io/file.hpp: what may be read, and that a file or a folder is replaced as a whole or not at all.
#include <catch2/catch.hpp>
#include <csignal>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <string_view>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>
#include <sched.h>
#include <shardproof/io/file.hpp>
#include "scratch_folder.hpp"

namespace sp = shardproof;
namespace fs = std::filesystem;
using names = std::vector<std::string>;

namespace {

/// The message of the sp::error that f() throws; empty if it throws none, or one with another code.
template <class F> std::string refusal(F&& f, sp::code code = sp::code::io_failed) {
  try {
    f();
  } catch (const sp::error& e) {
    return e.which() == code ? e.what() : "";
  }
  return "";
}
bool holds(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

/// While it lives, files cannot grow beyond `bytes`, and trying is an error instead of a signal.
class file_size_limit {
 public:
  explicit file_size_limit(rlim_t bytes) : handler_(std::signal(SIGXFSZ, SIG_IGN)) {
    ::getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit now{bytes, before_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &now);
  }
  ~file_size_limit() {
    ::setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, handler_);
  }

 private:
  rlimit before_{};
  void (*handler_)(int);
};

}  // namespace

TEST_CASE("a file is read through its mapping and by copies") {
  const scratch_folder dir;
  sp::io::file f(dir.put("a", "0123456789"));
  CHECK(f.size() == 10);
  CHECK(f.bytes() == "0123456789");
  char some[4] = {};
  f.copy(3, 7, some);
  CHECK(std::string_view(some, 4) == "3456");
  f.copy(10, 10, some);
  sp::io::file moved(std::move(f));
  CHECK(moved.bytes() == "0123456789");
  sp::io::file other(dir.put("b", "x"));
  other = std::move(moved);
  CHECK(other.bytes() == "0123456789");
  CHECK(other.path() == dir.at("a"));
  CHECK(holds(refusal([&] { other.copy(8, 11, some); }), "a range outside the file"));
  CHECK(holds(refusal([&] { other.copy(5, 4, some); }), "a range outside the file"));
}

TEST_CASE("an empty file and a link to a file can be read") {
  const scratch_folder dir;
  CHECK(sp::io::file(dir.put("empty", "")).bytes().empty());
  CHECK(sp::io::read_text(dir.at("empty")).empty());
  dir.put("blob", "weights");
  fs::create_symlink("blob", dir.at("link"));
  CHECK(sp::io::read_text(dir.at("link")) == "weights");
  CHECK(holds(refusal([&] { sp::io::read_text(dir.at("blob"), 6); }), "its 7 bytes are more"));
}

TEST_CASE("a large file is copied in pieces without a gap") {
  const scratch_folder dir;
  std::string text(20'000'003, '\0');
  for (std::size_t k = 0; k < text.size(); ++k) text[k] = char(k * 2654435761u >> 13);
  CHECK(sp::io::read_text(dir.put("large", text)) == text);
}

TEST_CASE("what is not a regular file is refused by name and reason, and opening never waits") {
  const scratch_folder dir;
  const auto open = [&](const std::string& path) { return refusal([&] { sp::io::file f(path); }); };
  CHECK(open(dir.at("nothing")) == "shardproof[SP608] cannot open " + dir.at("nothing") + ": No such file or directory. " +
                                       "Fix: check the path; to write there, create its folder first.");
  CHECK(holds(open(dir.path()), dir.path() + ": it is a directory. Fix: name a regular file."));
  REQUIRE(::mkfifo(dir.at("fifo").c_str(), 0600) == 0);
  CHECK(holds(open(dir.at("fifo")), "it is a FIFO"));
  CHECK(holds(open("/dev/null"), "it is a device"));
  CHECK(holds(open("/dev/full"), "it is a device"));
  const int s = ::socket(AF_UNIX, SOCK_STREAM, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  dir.at("socket").copy(address.sun_path, sizeof address.sun_path - 1);
  REQUIRE(::bind(s, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  CHECK(holds(open(dir.at("socket")), "it is a socket"));
  ::close(s);
  fs::create_symlink("nowhere", dir.at("dangling"));
  CHECK(holds(open(dir.at("dangling")), "No such file or directory"));
  fs::create_symlink("circle", dir.at("circle"));
  CHECK(holds(open(dir.at("circle")), "Fix: remove the circle of symbolic links."));
  CHECK(holds(open(dir.put("plain", "x") + "/below"), "Not a directory"));
  CHECK(holds(open(""), "cannot open "));
  CHECK(holds(open(dir.at(std::string(300, 'n'))), "use a shorter name"));
  if (::geteuid() != 0) {
    fs::permissions(dir.at("plain"), fs::perms::none);
    CHECK(holds(open(dir.at("plain")), "Permission denied. Fix: check the permissions."));
  }
}

TEST_CASE("a file that is cut while it is open gives an error, not a signal") {
  const scratch_folder dir;
  const std::string path = dir.put("a", std::string(100'000, 'x'));
  const sp::io::file f(path);
  std::string to(100'000, '\0');
  f.copy(0, 100'000, to.data());
  SECTION("to a few bytes") {
    REQUIRE(::truncate(path.c_str(), 100) == 0);
    const std::string message = refusal([&] { f.copy(50'000, 60'000, to.data()); });
    CHECK(holds(message, "cannot read " + path + ": it was cut from 100000 to 100 bytes while it was open."));
  }
  SECTION("inside its last page, whose rest would read as zeros") {
    REQUIRE(::truncate(path.c_str(), 99'999) == 0);
    CHECK(holds(refusal([&] { f.ready(99'990, 100'000); }), "from 100000 to 99999 bytes"));
  }
  SECTION("but one that is replaced keeps its old bytes") {
    sp::io::write_text(path, "new");
    f.copy(0, 100'000, to.data());
    CHECK(to == std::string(100'000, 'x'));
    CHECK(sp::io::read_text(path) == "new");
  }
}

TEST_CASE("names in messages stay on one line and of bounded length") {
  CHECK(sp::io::shown("a\nb\x7f") == "a\\x0ab\\x7f");
  CHECK(sp::io::shown(std::string(1000, 'n')).size() == 203);
  CHECK(sp::io::shown("abcdef", 4) == "ab...ef");
  const std::string message = refusal([] { sp::io::file f("/nowhere/" + std::string(5000, 'p')); });
  CHECK(holds(message, "Fix: use a shorter name."));
}

TEST_CASE("atomic_writer shows the new file only at commit") {
  const scratch_folder dir;
  dir.put("a", "old");
  {
    sp::io::atomic_writer out(dir.at("a"));
    out.write("new ");
    out.write(std::string(600'000, 'x'));                      // larger than the buffer
    out.write(" end", 4);
    CHECK(out.written() == 600'008);
    CHECK(dir.get("a") == "old");
    out.finish();
    CHECK(dir.get("a") == "old");
    CHECK(dir.names().size() == 2);
    out.commit();
    out.commit();                                              // no more to do
    CHECK(holds(refusal([&] { out.write("more"); }), "it is finished"));
  }
  CHECK(dir.get("a") == "new " + std::string(600'000, 'x') + " end");
  CHECK(dir.names() == names{"a"});
  sp::io::write_text(dir.at("b"), "");
  CHECK(dir.names() == names{"a", "b"});
  CHECK(dir.get("b").empty());
}

TEST_CASE("atomic_writer leaves the old file and no temporary when it is given up") {
  const scratch_folder dir;
  dir.put("a", "old");
  { sp::io::atomic_writer out(dir.at("a")); out.write("half"); }
  CHECK(dir.get("a") == "old");
  CHECK(dir.names() == names{"a"});
  try {
    sp::io::atomic_writer out(dir.at("a"));
    out.write(std::string(1 << 20, 'x'));
    out.finish();
    throw std::runtime_error("the gather failed");
  } catch (const std::runtime_error&) {
  }
  CHECK(dir.get("a") == "old");
  CHECK(dir.names() == names{"a"});
}

TEST_CASE("atomic_writer reports a file that may not grow, and leaves the old one") {
  const scratch_folder dir;
  dir.put("a", "old");
  for (const std::size_t bytes : {std::size_t(70'000), std::size_t(1'000'000)}) {         // buffered, and past the buffer
    sp::io::atomic_writer out(dir.at("a"));
    {
      const file_size_limit limit(65'536);
      const std::string message = refusal([&] { out.write(std::string(bytes, 'x')); out.commit(); });
      CHECK(holds(message, "cannot write " + dir.at("a") + ": File too large. Fix: raise the limit on file sizes (ulimit -f)"));
    }
    CHECK(holds(refusal([&] { out.write("more"); }), "an earlier write failed"));
    CHECK(holds(refusal([&] { out.commit(); }), "an earlier write failed"));
    CHECK(dir.get("a") == "old");
    CHECK(dir.names() == names{"a"});
  }
}

TEST_CASE("atomic_writer reports a full disk, and leaves the old file") {
  // In a child with its own mounts, so that nothing is left behind; 77: this machine does not let us mount.
  const scratch_folder dir;
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    int status = 1;
    if (::unshare(CLONE_NEWNS) != 0 || ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
        ::mount("tmpfs", dir.path().c_str(), "tmpfs", 0, "size=256k") != 0)
      ::_exit(77);
    dir.put("a", "old");
    const std::string writing = refusal([&] {
      sp::io::atomic_writer out(dir.at("a"));
      out.write(std::string(1 << 20, 'x'));
      out.commit();
    });
    const bool kept = dir.get("a") == "old" && dir.names() == names{"a"};
    const std::string expecting = refusal([&] { sp::io::atomic_writer(dir.at("a")).expect(1 << 20); });
    const std::string folder = refusal([&] {
      sp::io::atomic_folder out(dir.at("checkpoint"));
      out.add("model.safetensors").write(std::string(200'000, 'x'));
      out.add("more.safetensors").write(std::string(200'000, 'x'));
      out.commit();
    });
    const std::string_view words = "No space left on device. Fix: free space there";
    if (!holds(writing, words)) status = 2;
    else if (!kept) status = 3;
    else if (!holds(expecting, words)) status = 4;
    else if (!holds(folder, words)) status = 5;
    else if (dir.names() != names{"a"}) status = 6;
    else status = 0;
    ::_exit(status);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  REQUIRE(WIFEXITED(status));
  if (WEXITSTATUS(status) == 77) WARN("mounting is not permitted here: the full disk is not tested");
  else CHECK(WEXITSTATUS(status) == 0);
}

TEST_CASE("atomic_writer refuses what is no file, before it writes anything") {
  const scratch_folder dir;
  const auto write = [&](const std::string& path) { return refusal([&] { sp::io::write_text(path, "x"); }); };
  fs::create_directory(dir.at("folder"));
  CHECK(holds(write(dir.at("folder")), "it is a directory"));
  fs::create_symlink("folder", dir.at("to_folder"));
  CHECK(holds(write(dir.at("to_folder")), "it is a directory"));
  fs::create_symlink("nowhere", dir.at("dangling"));
  CHECK(holds(write(dir.at("dangling")), "it is a symbolic link to nothing"));
  fs::create_symlink("circle", dir.at("circle"));
  CHECK(holds(write(dir.at("circle")), "circle of symbolic links"));
  CHECK(holds(write("/dev/full"), "it is not a regular file"));
  CHECK(holds(write(dir.at("none/a")), "create its folder first"));
  CHECK(holds(write(""), "cannot write "));
  CHECK(holds(write(dir.at("folder/..")), "it is a directory"));
  CHECK(dir.names() == names{"circle", "dangling", "folder", "to_folder"});
  if (::geteuid() != 0) {
    fs::permissions(dir.put("kept", "x"), fs::perms::owner_read);
    CHECK(holds(write(dir.at("kept")), "Permission denied"));
  }
}

TEST_CASE("atomic_writer follows a link, keeps permissions, and takes the longest names") {
  const scratch_folder dir;
  fs::create_directory(dir.at("store"));
  dir.put("store/blob", "old");
  fs::permissions(dir.at("store/blob"), fs::perms(0640));
  fs::create_symlink("store/blob", dir.at("link"));
  sp::io::write_text(dir.at("link"), "new");
  CHECK(fs::is_symlink(dir.at("link")));
  CHECK(dir.get("store/blob") == "new");
  CHECK(fs::status(dir.at("store/blob")).permissions() == fs::perms(0640));
  const mode_t mask = ::umask(027);
  sp::io::write_text(dir.at("fresh"), "x");
  ::umask(mask);
  CHECK(fs::status(dir.at("fresh")).permissions() == fs::perms(0640));
  const std::string longest(255, 'n');
  sp::io::write_text(dir.at(longest), "x");
  CHECK(dir.get(longest) == "x");
}

TEST_CASE("atomic_folder shows a new folder only when it is complete") {
  const scratch_folder dir;
  {
    sp::io::atomic_folder out(dir.at("checkpoint/"));
    out.add("model.safetensors").write("weights");
    out.add("config.json").write("{}");
    CHECK_FALSE(fs::exists(dir.at("checkpoint")));
    out.commit();
  }
  CHECK(dir.names() == names{"checkpoint", "checkpoint/config.json", "checkpoint/model.safetensors"});
  CHECK(dir.get("checkpoint/model.safetensors") == "weights");
}

TEST_CASE("atomic_folder leaves nothing of a folder that was given up") {
  const scratch_folder dir;
  try {
    sp::io::atomic_folder out(dir.at("checkpoint"));
    out.add("model.safetensors").write("weights");
    out.add("config.json").write("{}");
    throw std::runtime_error("the gather failed");
  } catch (const std::runtime_error&) {
  }
  CHECK(dir.names().empty());
  SECTION("nor when somebody took its name meanwhile") {
    const std::string message = refusal([&] {
      sp::io::atomic_folder out(dir.at("checkpoint"));
      out.add("config.json").write("{}");
      fs::create_directory(dir.at("checkpoint"));
      dir.put("checkpoint/other", "x");
      out.commit();
    });
    CHECK(holds(message, "cannot write the folder " + dir.at("checkpoint")));
    CHECK(dir.names() == names{"checkpoint", "checkpoint/other"});
  }
}

TEST_CASE("atomic_folder replaces the files of a folder together, the configuration last") {
  const scratch_folder dir;
  fs::create_directory(dir.at("c"));
  const std::string index = "c/model.safetensors.index.json";
  dir.put("c/config.json", "old");
  dir.put("c/tokenizer.json", "kept");
  dir.put(index, "stale");
  SECTION("all of them") {
    sp::io::atomic_folder out(dir.at("c"));
    out.add("config.json").write("new");
    out.add("model.safetensors").write("weights");
    out.drop("model.safetensors.index.json");
    out.drop("absent.safetensors");
    for (const auto* name : {"config.json", "model.safetensors"}) out.drop(name);     // added too: they stay
    CHECK(dir.get("c/config.json") == "old");
    out.commit();
    CHECK(dir.names() == names{"c", "c/config.json", "c/model.safetensors", "c/tokenizer.json"});
    CHECK(dir.get("c/config.json") == "new");
  }
  SECTION("none of them, when it is given up") {
    { sp::io::atomic_folder out(dir.at("c")); out.add("config.json").write("new"); }
    CHECK(dir.get("c/config.json") == "old");
    CHECK(dir.names().size() == 4);
  }
  SECTION("the configuration stays old when a file before it cannot take its place") {
    const std::string message = refusal([&] {
      sp::io::atomic_folder out(dir.at("c"));
      out.add("config.json").write("new");
      out.add("model.safetensors").write("weights");
      fs::create_directory(dir.at("c/model.safetensors"));     // rename fails
      out.commit();
    });
    CHECK(holds(message, "Is a directory"));
    CHECK(dir.get("c/config.json") == "old");
    CHECK(dir.names() == names{"c", "c/config.json", "c/model.safetensors", index, "c/tokenizer.json"});
  }
}

TEST_CASE("atomic_folder takes plain names, each once, and only a folder as its place") {
  const scratch_folder dir;
  sp::io::atomic_folder out(dir.at("c"));
  out.add("a");
  for (const std::string_view name : {"", ".", "..", "../a", "a/b", "/etc/x", "a\\b"})
    CHECK(holds(refusal([&] { out.add(name); }), "is not a plain file name"));
  CHECK(holds(refusal([&] { out.drop("../a"); }), "is not a plain file name"));
  CHECK(holds(refusal([&] { out.add("a"); }), "'a' is added twice"));
  const auto begin = [&](const std::string& path) { return refusal([&] { sp::io::atomic_folder f(path); }); };
  CHECK(holds(begin(dir.put("file", "x")), "it is not a directory"));
  CHECK(holds(begin(dir.at("none/c")), "No such file or directory"));
  CHECK(holds(begin(""), "cannot write the folder "));
  fs::create_symlink("nowhere", dir.at("dangling"));
  CHECK(holds(begin(dir.at("dangling")), "it is a symbolic link to nothing"));
}
