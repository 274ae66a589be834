// io/unfinished.hpp: a program that is told to stop removes what it had begun, and nothing else.
#include <catch2/catch.hpp>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <optional>
#include <string>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>
#include <shardproof/io/atomic_folder.hpp>
#include "scratch_folder.hpp"

namespace io = shardproof::io;
using names = std::vector<std::string>;

namespace {

/// What a process of its own returns: it may stop for good. -1: it died.
template <class F> int in_a_process(F&& body) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::alarm(20);  // a process that waits for ever is ended
    int answer = 99;
    try {
      answer = body();
    } catch (...) {}
    ::_exit(answer);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}
bool listed(const std::string& part) {
  for (const auto& path : io::detail::unfinished)
    if (path && std::string(path.load()).find(part) != std::string::npos) return true;
  return false;
}

}  // namespace

TEST_CASE("files and folders that are begun are listed until they take their place or are given up") {
  const scratch_folder dir;
  CHECK_FALSE(listed(dir.path()));
  {
    io::atomic_writer out(dir.at("a"));
    CHECK(listed(dir.path()));
    out.write("text");
    out.commit();
    CHECK_FALSE(listed(dir.path()));
    io::atomic_writer given_up(dir.at("b"));
    io::atomic_folder folder(dir.at("c"));
    folder.add("x").write("1");
    folder.add("y").write("2");
    CHECK(listed("/.c."));
    folder.commit();
    CHECK_FALSE(listed("/.c."));
    CHECK(listed("/.b."));
  }
  CHECK_FALSE(listed(dir.path()));
  CHECK(dir.names() == names{"a", "c", "c/x", "c/y"});
}

TEST_CASE("stopping removes what is unfinished and leaves what is finished") {
  const scratch_folder dir;
  dir.put("old", "precious");
  CHECK(in_a_process([&] {
          io::atomic_writer done(dir.at("done"));
          done.write("whole");
          done.commit();
          io::atomic_writer begun(dir.at("old")), finished(dir.at("new"));
          begun.write("half");
          finished.write("all");
          finished.finish();  // on disk, but not in its place
          io::atomic_folder folder(dir.at("folder"));
          folder.add("x").write("1");
          folder.add("y").write("2");
          io::remove_unfinished();
          ::_exit(7);
          return 0;
        }) == 7);
  CHECK(dir.names() == names{"done", "old"});
  CHECK(dir.get("old") == "precious");
  CHECK(dir.get("done") == "whole");
}

TEST_CASE("a signal in the middle of placing files waits until all are placed") {
  const scratch_folder dir;
  CHECK(in_a_process([&] {
          std::signal(SIGTERM, [](int) {
            io::remove_unfinished();
            ::_exit(7);
          });
          {
            const io::shield outer;
            ::raise(SIGTERM);  // pending while the shield lives
            io::write_text(dir.at("a"), "1");
            const io::shield inner;
            io::write_text(dir.at("b"), "2");
          }
          io::write_text(dir.at("c"), "3");  // never reached
          return 0;
        }) == 7);
  CHECK(dir.names() == names{"a", "b"});
}

TEST_CASE("stopping waits for another thread's shield, and that thread begins nothing afterwards") {
  const scratch_folder dir;
  CHECK(in_a_process([&] {
          std::atomic<int> shielded{0};
          std::thread other([&] {
            {
              const io::shield whole;
              shielded = 1;
              std::this_thread::sleep_for(std::chrono::milliseconds(100));
              io::write_text(dir.at("a"), "1");
              shielded = 2;
            }
            io::write_text(dir.at("b"), "2");
          });
          other.detach();
          while (shielded == 0) std::this_thread::yield();
          io::remove_unfinished();
          const int seen = shielded;
          std::this_thread::sleep_for(std::chrono::milliseconds(50));
          ::_exit(seen == 2 ? 7 : 8);
          return 0;
        }) == 7);
  CHECK(dir.names() == names{"a"});
}

TEST_CASE("more files than the list holds are written all the same") {
  const scratch_folder dir;
  std::vector<io::unfinished_path> many(std::size_t(io::detail::most_unfinished) + 5);
  const io::shield whole;
  for (std::size_t i = 0; i < many.size(); ++i) many[i].list(dir.at(std::to_string(i)));
  io::write_text(dir.at("a"), "1");
  for (auto& m : many) m.forget();
  CHECK(dir.get("a") == "1");
  CHECK_FALSE(listed(dir.path()));
}
