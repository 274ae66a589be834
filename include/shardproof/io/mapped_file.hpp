#pragma once
/// @file
/// A regular file, read through a mapping: a rank touches only the pages of its own byte ranges.
///
///     const sp::io::file f("model.safetensors");               // SP608 unless it is a readable regular file
///     std::string_view all = f.bytes();                        // no copy
///     f.copy(8, 8 + n, to);                                    // checked: SP608 if the file was cut meanwhile
#include <algorithm>
#include <cstddef>
#include <cstring>
#include <string>
#include <string_view>
#include <sys/mman.h>
#include <utility>
#include <shardproof/io/posix.hpp>
namespace shardproof::io {

/// Read-only, movable. Symbolic links are followed; directories, FIFOs, sockets and devices are refused (SP608).
class file {
 public:
  explicit file(std::string path) : path_(std::move(path)) {
    // Looked at before it is opened: opening a FIFO waits, opening a device may have effects.
    struct stat info {};
    if (::stat(path_.c_str(), &info) != 0) refuse("cannot open", path_, errno);
    want_regular(info);
    fd_ = descriptor(uninterrupted([&] { return ::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY); }));
    if (!fd_) refuse("cannot open", path_, errno);
    if (::fstat(fd_.get(), &info) != 0) refuse("cannot open", path_, errno);
    want_regular(info);
    size_ = static_cast<std::size_t>(info.st_size);
    if (size_ == 0) return;                                    // nothing to map
    void* const map = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, fd_.get(), 0);
    if (map == MAP_FAILED) refuse("cannot map", path_, errno);
    data_ = static_cast<const char*>(map);
  }
  file(file&& other) noexcept
      : path_(std::move(other.path_)), fd_(std::move(other.fd_)), data_(std::exchange(other.data_, nullptr)),
        size_(std::exchange(other.size_, 0)) {}
  file& operator=(file&& other) noexcept {
    file moved(std::move(other));
    std::swap(path_, moved.path_);
    std::swap(fd_, moved.fd_);
    std::swap(data_, moved.data_);
    std::swap(size_, moved.size_);
    return *this;
  }
  ~file() {
    if (data_) ::munmap(const_cast<char*>(data_), size_);
  }

  const std::string& path() const { return path_; }
  /// Bytes when it was opened.
  std::size_t size() const { return size_; }
  /// The mapping. Touching it after another process has cut the file raises SIGBUS: see ready() and copy().
  std::string_view bytes() const { return {data_, size_}; }

  /// Brings [begin, end) into memory, or throws SP608 if the file no longer has these bytes or the disk fails.
  void ready(std::size_t begin, std::size_t end) const {
    if (begin > end || end > size_) refuse("cannot read", path_, "a range outside the file", "ask for bytes of the file.");
    still_whole();
    if (begin == end) return;
    const std::size_t page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE)), from = begin / page * page;
    if (::madvise(const_cast<char*>(data_) + from, end - from, populate_read) == 0) return;
    const int why = errno;
    still_whole();
    // Kernels before 5.14 do not know the advice: the pages come one by one, and the size has just been checked.
    if (why == EFAULT || why == EIO || why == EHWPOISON) refuse("cannot read", path_, EIO);
  }
  /// Copies [begin, end) to `to`; SP608 as ready().
  void copy(std::size_t begin, std::size_t end, void* to) const {
    constexpr std::size_t chunk = std::size_t(64) << 20;       // keeps the gap between check and use short
    do {
      const std::size_t upto = begin + std::min(chunk, end - begin);
      ready(begin, upto);
      if (upto > begin) std::memcpy(to, data_ + begin, upto - begin);
      to = static_cast<char*>(to) + (upto - begin);
      begin = upto;
    } while (begin < end);
    still_whole();                                             // a file cut inside its last page reads as zeros there
  }
  /// Throws SP608 if the file has become shorter than it was.
  void still_whole() const {
    struct stat info {};
    if (::fstat(fd_.get(), &info) != 0) refuse("cannot read", path_, errno);
    if (static_cast<std::size_t>(info.st_size) < size_)
      refuse("cannot read", path_,
             "it was cut from " + std::to_string(size_) + " to " + std::to_string(info.st_size) + " bytes while it was open",
             "write the file again, and replace files by renaming instead of overwriting them.");
  }

 private:
#ifdef MADV_POPULATE_READ
  static constexpr int populate_read = MADV_POPULATE_READ;
#else
  static constexpr int populate_read = 22;                     // Linux 5.14; older headers lack the name
#endif
  void want_regular(const struct stat& info) const {
    if (S_ISREG(info.st_mode)) return;
    refuse("cannot open", path_,
           S_ISDIR(info.st_mode) ? "it is a directory" : S_ISFIFO(info.st_mode) ? "it is a FIFO"
           : S_ISSOCK(info.st_mode) ? "it is a socket" : "it is a device",
           "name a regular file.");
  }
  std::string path_;
  descriptor fd_;
  const char* data_ = nullptr;
  std::size_t size_ = 0;
};

/// The whole of a small text file; SP608 if it is larger than `limit` bytes.
inline std::string read_text(const std::string& path, std::size_t limit = std::size_t(256) << 20) {
  const file f(path);
  if (f.size() > limit)
    refuse("cannot read", path, "its " + std::to_string(f.size()) + " bytes are more than such a file has", "name another file.");
  std::string text(f.size(), '\0');
  f.copy(0, f.size(), text.data());
  return text;
}

}  // namespace shardproof::io
