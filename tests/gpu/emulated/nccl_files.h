#pragma once
/// @file
/// How ranks of the emulated NCCL that are processes reach each other: files in a folder that SHARDPROOF_EMULATED_NCCL names.
///
///     nccl_emulated::mailbox box("the id of the world", 1);            // rank 1's side; not used where the variable is not set
///     box.put("3.1", bytes);                                           // the third call of rank 1
///     std::optional<std::string> theirs = box.get("3.0");              // none: it has not come yet
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <string>
namespace nccl_emulated {

class mailbox {
  std::string place_;
  int rank_ = 0;

 public:
  mailbox() = default;
  mailbox(const std::string& name, int rank) : rank_(rank) {
    if (const char* folder = std::getenv("SHARDPROOF_EMULATED_NCCL"); folder && *folder) place_ = std::string(folder) + "/" + name;
  }
  bool used() const { return !place_.empty(); }
  int rank() const { return rank_; }
  /// That of a part of the ranks.
  mailbox part(const std::string& name, int rank) const {
    mailbox m;
    m.rank_ = rank;
    if (used()) m.place_ = place_ + "-" + name;
    return m;
  }
  /// It is there as a whole or not at all.
  void put(const std::string& name, const std::string& bytes) const {
    const std::string aside = path(name) + ".part" + std::to_string(rank_);
    std::ofstream(aside, std::ios::binary).write(bytes.data(), std::streamsize(bytes.size()));
    std::filesystem::rename(aside, path(name));
  }
  std::optional<std::string> get(const std::string& name) const {
    std::ifstream in(path(name), std::ios::binary);
    if (!in) return {};
    return std::string(std::istreambuf_iterator<char>(in), {});
  }

 private:
  std::string path(const std::string& name) const { return place_ + "." + name; }
};

}  // namespace nccl_emulated
