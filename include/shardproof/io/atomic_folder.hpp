#pragma once
/// @file
/// A checkpoint folder that appears as a whole, or whose files are replaced together.
///
///     sp::io::atomic_folder out("checkpoint");
///     sp::io::write_safetensors(out.add("model.safetensors"), tensors, data);
///     out.add("config.json").write(text);
///     out.commit();                                            // all files are on disk before the first takes its place
#include <cstdio>
#include <deque>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
#include <shardproof/io/atomic_writer.hpp>
namespace shardproof::io {

/// A new folder is written aside and renamed into place: there is never a part of it. In a folder that exists, each file is
/// written aside, and at commit() all are renamed, `last` last; other files stay. Until then nothing changes; if a rename
/// itself fails half-way (the disk died), the files renamed before it stay new.
class atomic_folder {
 public:
  /// SP608 if `path` is not a folder but something else, or its parent does not exist.
  explicit atomic_folder(std::string path) : path_(std::move(path)) {
    while (path_.size() > 1 && path_.back() == '/') path_.pop_back();
    struct stat info {};
    if (::stat(path_.c_str(), &info) == 0) {
      if (!S_ISDIR(info.st_mode)) refuse("cannot write the folder", path_, "it is not a directory", "name a folder.");
      place_ = path_;
      return;
    }
    if (errno != ENOENT) refuse("cannot write the folder", path_, errno);
    if (::lstat(path_.c_str(), &info) == 0)
      refuse("cannot write the folder", path_, "it is a symbolic link to nothing", "remove the link, or name the folder itself.");
    const std::string aside = folder_of(path_) + "/." + name_of(path_).substr(0, 180) + unique_suffix();
    if (path_.empty()) refuse("cannot write the folder", path_, ENOENT);
    const shield whole;
    if (::mkdir(aside.c_str(), 0777) != 0) refuse("cannot write the folder", path_, errno);
    listed_.list(aside);
    place_ = aside;
    is_new_ = true;
  }
  atomic_folder(const atomic_folder&) = delete;
  atomic_folder& operator=(const atomic_folder&) = delete;
  ~atomic_folder() {
    if (committed_) return;
    const shield whole;
    std::vector<std::string> written;
    for (const atomic_writer& f : files_) written.push_back(f.path());
    files_.clear();                                            // removes the temporaries
    if (!is_new_) return;
    for (const std::string& f : written) ::unlink(f.c_str());
    ::rmdir(place_.c_str());
    listed_.forget();
  }

  const std::string& path() const { return path_; }
  /// Begins a file of the folder, and finishes the one begun before. SP608 for a name with a path in it, or used twice.
  atomic_writer& add(std::string_view name) {
    want_plain(name);
    const std::string path = place_ + "/" + std::string(name);
    if (adds(path)) refuse("cannot write into", path_, "'" + shown(name) + "' is added twice", "give each file its own name.");
    if (!files_.empty()) files_.back().finish();               // one open file at a time, however many there are
    return files_.emplace_back(path, path_ + "/" + std::string(name));
  }
  /// At commit() the file of this name is removed if it is there: an index or a shard that the new files replace.
  void drop(std::string_view name) {
    want_plain(name);
    dropped_.push_back(place_ + "/" + std::string(name));
  }
  /// Puts everything in its place. A reader that looks for `last` first finds only finished folders.
  void commit(std::string_view last = "config.json") {
    for (atomic_writer& f : files_) f.finish();
    const shield whole;                                        // nobody is to see some files new and some old
    const std::string last_path = place_ + "/" + std::string(last);
    for (atomic_writer& f : files_)
      if (f.path() != last_path) f.publish();
    for (const std::string& f : dropped_)
      if (!adds(f) && ::unlink(f.c_str()) != 0 && errno != ENOENT) refuse("cannot remove", f, errno);
    for (atomic_writer& f : files_) f.publish();
    sync_folder(place_);
    if (is_new_) {
      if (::rename(place_.c_str(), path_.c_str()) != 0) refuse("cannot write the folder", path_, errno);
      sync_folder(folder_of(path_));
      listed_.forget();
    }
    committed_ = true;
  }

 private:
  bool adds(const std::string& path) const {
    for (const atomic_writer& f : files_)
      if (f.path() == path) return true;
    return false;
  }
  void want_plain(std::string_view name) const {
    if (!is_plain_name(name))
      refuse("cannot write into", path_, "'" + shown(name) + "' is not a plain file name", "name a file without a path.");
  }
  std::string path_, place_;
  std::deque<atomic_writer> files_;
  unfinished_path listed_;
  std::vector<std::string> dropped_;
  bool is_new_ = false, committed_ = false;
};

}  // namespace shardproof::io
