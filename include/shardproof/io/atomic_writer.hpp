#pragma once
/// @file
/// A file that is replaced as a whole or not at all.
///
///     sp::io::atomic_writer out("model.safetensors");          // writes to a temporary in the same folder
///     out.write(bytes, n);                                     // SP608 when the disk is full
///     out.commit();                                            // fsync, rename, fsync of the folder
#include <atomic>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
#include <shardproof/io/posix.hpp>
#include <shardproof/io/unfinished.hpp>
namespace shardproof::io {

/// A suffix that no other thread, process or run uses: ".<process>-<time>-<count>.tmp".
inline std::string unique_suffix() {
  static std::atomic<unsigned> count{0};
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  return "." + std::to_string(::getpid()) + "-" + std::to_string(now.tv_sec) + std::to_string(now.tv_nsec) + "-" +
         std::to_string(count++) + ".tmp";
}

/// Without commit(), and after any failure, the temporary is removed and what stood at the path is untouched. A process that
/// is killed leaves a file named ".<name>.<...>.tmp" behind; one that is asked to stop need not (unfinished.hpp).
class atomic_writer {
 public:
  /// A new file gets the usual permissions, a replaced one keeps those of the old. SP608 for a directory, a device, a
  /// read-only file, and a symbolic link to nothing; a link to a file is followed, and the file it names is replaced.
  /// `called`: the path as messages show it, for a file in a folder that is still aside.
  explicit atomic_writer(std::string path, std::string called = {})
      : path_(std::move(path)), called_(called.empty() ? path_ : std::move(called)), target_(path_) {
    struct stat info {};
    bool exists = ::lstat(path_.c_str(), &info) == 0;
    if (!exists && errno != ENOENT) refuse("cannot write", called_, errno);
    if (exists && S_ISLNK(info.st_mode)) {
      char* const real = ::realpath(path_.c_str(), nullptr);
      if (!real && errno == ENOENT)
        refuse("cannot write", called_, "it is a symbolic link to nothing", "remove the link, or name the file itself.");
      if (!real) refuse("cannot write", called_, errno);
      target_ = real;
      std::free(real);
      if (::stat(target_.c_str(), &info) != 0) refuse("cannot write", called_, errno);
    }
    if (exists && !S_ISREG(info.st_mode))
      refuse("cannot write", called_, S_ISDIR(info.st_mode) ? "it is a directory" : "it is not a regular file", "name a file.");
    if (exists && ::access(target_.c_str(), W_OK) != 0) refuse("cannot write", called_, errno);
    const std::string name = name_of(target_);
    if (name.empty() || name == "." || name == "..") refuse("cannot write", called_, "it names no file", "name a file.");
    const shield whole;
    do {
      // The name is cut so that the suffix cannot make it too long for the folder.
      temporary_ = folder_of(target_) + "/." + name.substr(0, 180) + unique_suffix();
      fd_ = descriptor(uninterrupted([&] { return ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666); }));
    } while (!fd_ && errno == EEXIST);
    if (!fd_) {
      const int why = errno;
      temporary_.clear();
      refuse("cannot write", called_, why);
    }
    listed_.list(temporary_);
    if (exists) (void)!::fchmod(fd_.get(), info.st_mode & 07777);     // the file system may not know permissions
  }
  atomic_writer(const atomic_writer&) = delete;
  atomic_writer& operator=(const atomic_writer&) = delete;
  ~atomic_writer() { abandon(); }

  const std::string& path() const { return path_; }
  const std::string& called() const { return called_; }
  /// Bytes written so far.
  std::size_t written() const { return written_; }

  /// Reserves space for `bytes` in all, so that a full disk shows now and not an hour later; SP608.
  void expect(std::size_t bytes) {
    want_open();
#ifdef FALLOC_FL_KEEP_SIZE
    if (bytes == 0 || ::fallocate(fd_.get(), FALLOC_FL_KEEP_SIZE, 0, static_cast<off_t>(bytes)) == 0) return;
    if (errno == ENOSPC || errno == EDQUOT || errno == EFBIG) fail(errno);   // anything else: it cannot reserve
#else
    (void)bytes;
#endif
  }
  void write(const void* bytes, std::size_t n) {
    want_open();
    const char* const from = static_cast<const char*>(bytes);
    written_ += n;
    if (buffer_.size() + n <= buffer_bytes) {
      buffer_.insert(buffer_.end(), from, from + n);
      return;
    }
    flush();
    if (n < buffer_bytes) buffer_.assign(from, from + n);
    else put(from, n);
  }
  void write(std::string_view text) { write(text.data(), text.size()); }

  /// Everything on disk under the temporary name; nothing can be written after. commit() does this by itself.
  void finish() {
    if (finished_) return;
    want_open();
    flush();
    if (uninterrupted([&] { return ::fsync(fd_.get()); }) != 0) fail(errno);
    if (const int why = fd_.close()) fail(why);
    finished_ = true;
  }
  /// finish(), and from here on the path holds the new file.
  void commit() {
    finish();
    publish();
    sync_folder(folder_of(target_));
  }

 private:
  friend class atomic_folder;
  static constexpr std::size_t buffer_bytes = 1 << 18;

  void publish() {
    finish();
    const shield whole;
    if (temporary_.empty()) return;                            // already in place
    if (::rename(temporary_.c_str(), target_.c_str()) != 0) fail(errno);
    temporary_.clear();
    listed_.forget();
  }
  void want_open() const {
    if (!fd_) refuse("cannot write", called_, finished_ ? "it is finished" : "an earlier write failed", "begin a new file.");
  }
  void flush() {
    put(buffer_.data(), buffer_.size());
    buffer_.clear();
  }
  void put(const char* from, std::size_t n) {
    while (n > 0) {
      const std::size_t piece = n < (std::size_t(1) << 30) ? n : std::size_t(1) << 30;
      const ssize_t done = uninterrupted([&] { return ::write(fd_.get(), from, piece); });
      if (done <= 0) fail(done < 0 ? errno : EIO);
      from += done;
      n -= static_cast<std::size_t>(done);
    }
  }
  [[noreturn]] void fail(int why) {
    abandon();
    refuse("cannot write", called_, why);
  }
  void abandon() noexcept {
    const shield whole;
    fd_.close();
    if (!temporary_.empty()) ::unlink(temporary_.c_str());
    temporary_.clear();
    listed_.forget();
    finished_ = false;
  }

  std::string path_, called_, target_, temporary_;
  descriptor fd_;
  unfinished_path listed_;
  std::vector<char> buffer_;
  std::size_t written_ = 0;
  bool finished_ = false;
};

/// Replaces the file at `path` by `text`.
inline void write_text(const std::string& path, std::string_view text) {
  atomic_writer out(path);
  out.write(text);
  out.commit();
}

}  // namespace shardproof::io
