#pragma once
/// @file
/// What the file headers share: an owned descriptor, names fit for one line, and the error of a failed call.
///
///     sp::io::descriptor fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
///     if (!fd) sp::io::refuse("cannot open", path, errno);      // shardproof[SP608] cannot open x: Permission denied. Fix: ...
///     sp::io::shown("two\nlines");                              // two\x0alines
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <string>
#include <string_view>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>
#include <shardproof/core/error.hpp>
namespace shardproof::io {

/// `name` on one line and of bounded length: control characters as \xNN, the middle left out where it is too long.
inline std::string shown(std::string_view name, std::size_t limit = 200) {
  std::string out;
  const auto add = [&](std::string_view part) {
    for (char c : part) {
      const auto byte = static_cast<unsigned char>(c);
      if (byte >= 0x20 && byte != 0x7f) { out += c; continue; }
      out += "\\x";
      out += "0123456789abcdef"[byte >> 4];
      out += "0123456789abcdef"[byte & 15];
    }
  };
  if (name.size() <= limit) add(name);
  else {
    add(name.substr(0, limit / 2));
    out += "...";
    add(name.substr(name.size() - limit / 2));
  }
  return out;
}

/// The remedy for an errno value.
inline const char* fix_for(int error_number) {
  switch (error_number) {
    case ENOENT: case ENOTDIR: return "check the path; to write there, create its folder first.";
    case EACCES: case EPERM: return "check the permissions.";
    case EROFS: return "write to another file system.";
    case ENOSPC: case EDQUOT: return "free space there, or write elsewhere; what stood at that path is untouched.";
    case EFBIG: return "raise the limit on file sizes (ulimit -f), or write elsewhere; what stood at that path is untouched.";
    case ELOOP: return "remove the circle of symbolic links.";
    case EMFILE: case ENFILE: return "raise the limit on open files (ulimit -n).";
    case EEXIST: case ENOTEMPTY: return "something else was put there meanwhile; name another place.";
    case ENAMETOOLONG: return "use a shorter name.";
    default: return "check the disk and the file system.";
  }
}

/// Throws SP608: "`what` `path`: `detail`. Fix: `fix`".
[[noreturn]] inline void refuse(std::string_view what, std::string_view path, std::string_view detail, std::string_view fix) {
  std::string text(what);
  text += ' ';
  text += shown(path, 400);
  text += ": ";
  text += detail;
  text += '.';
  throw error(code::io_failed, text, fix);
}
/// The same from an errno value.
[[noreturn]] inline void refuse(std::string_view what, std::string_view path, int error_number) {
  refuse(what, path, std::strerror(error_number), fix_for(error_number));
}

/// Repeats a call that a signal interrupted.
template <class F> auto uninterrupted(F&& call) {
  auto result = call();
  while (result < 0 && errno == EINTR) result = call();
  return result;
}

/// Owns a file descriptor.
class descriptor {
 public:
  descriptor() = default;
  explicit descriptor(int fd) : fd_(fd) {}
  descriptor(descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  descriptor& operator=(descriptor&& other) noexcept {
    if (this != &other) { close(); fd_ = std::exchange(other.fd_, -1); }
    return *this;
  }
  ~descriptor() { close(); }
  explicit operator bool() const { return fd_ >= 0; }
  int get() const { return fd_; }
  /// 0, or the errno value: some file systems report a failed write only here.
  int close() noexcept {
    const int fd = std::exchange(fd_, -1);
    return fd >= 0 && ::close(fd) != 0 && errno != EINTR ? errno : 0;
  }

 private:
  int fd_ = -1;
};

/// A file name without a path: safe to append to a folder.
inline bool is_plain_name(std::string_view name) {
  if (name.empty() || name == "." || name == ".." || name.size() > 255) return false;
  for (char c : name)
    if (c == '/' || c == '\\' || c == '\0') return false;
  return true;
}

/// The folder that holds `path`; "." for a bare name.
inline std::string folder_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
}
/// The last component of `path`.
inline std::string name_of(const std::string& path) { return path.substr(path.rfind('/') + 1); }

/// Makes renames and removals in a folder durable; file systems that cannot are left alone.
inline void sync_folder(const std::string& folder) {
  const descriptor fd(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (fd && uninterrupted([&] { return ::fsync(fd.get()); }) != 0 && errno != EINVAL && errno != ENOTSUP && errno != EROFS)
    refuse("cannot write the folder", folder, errno);
}

}  // namespace shardproof::io
