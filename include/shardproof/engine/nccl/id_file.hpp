#pragma once
/// @file
/// NCCL's id by a file that all ranks can read, where no port may be opened.
///
///     nccl::company c = nccl::meet_by_file(place, {.rank = 2, .size = 8, .version = 22809}, make_id, 60);
///     nccl::forget_id_file(place);                         // rank 0, once all ranks have it
///
/// Rank 0 writes it aside, syncs and renames it, so that it is there as a whole or not at all. It names its run by a token: an old
/// file is waited over, and nothing but an id file is ever replaced. Who is missing shows only when NCCL connects.
#include <shardproof/engine/nccl/bootstrap.hpp>
#include <shardproof/io/atomic_writer.hpp>
namespace shardproof::nccl {

namespace detail {

struct id_record {
  char magic[8];
  std::uint32_t protocol, size, version, check;
  std::uint64_t token;
  char id[128];
};
static_assert(sizeof(id_record) == 160);
inline constexpr char id_magic[8] = {'S', 'P', 'N', 'C', 'C', 'L', 'I', 'D'};
inline std::uint32_t check_of(const id_record& r) {
  std::uint64_t h = 14695981039346656037ull ^ r.token ^ (std::uint64_t(r.size) << 32 | r.version);
  for (const char c : r.id) h = (h ^ static_cast<unsigned char>(c)) * 1099511628211ull;
  return std::uint32_t(h ^ h >> 32);
}
inline id_record record_of(const unique_id& id, const newcomer& me, std::uint64_t token) {
  id_record r{{}, protocol, std::uint32_t(me.size), std::uint32_t(me.version), 0, token, {}};
  std::memcpy(r.magic, id_magic, sizeof id_magic);
  std::memcpy(r.id, id.data(), id.size());
  r.check = check_of(r);
  return r;
}
/// An empty file is as good as none: a launcher may have made it to have its name.
enum class id_file_state : unsigned char { absent, whole, foreign };
inline id_file_state look_at(const std::string& path, id_record& r) {
  const descriptor fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd && (errno == ENOENT || errno == ESTALE)) return id_file_state::absent;
  if (!fd)
    refuse_place("the id file " + io::shown(path, 400) + " cannot be read: " + std::strerror(errno) + ".",
                 "check SHARDPROOF_NCCL_ID_FILE and the permissions.");
  char bytes[sizeof(id_record) + 1];
  std::size_t got = 0;
  while (got < sizeof bytes) {
    const ssize_t n = io::uninterrupted([&] { return ::read(fd.get(), bytes + got, sizeof bytes - got); });
    if (n < 0)
      refuse_place("the id file " + io::shown(path, 400) + " cannot be read: " + std::strerror(errno) + ".", "name a file in SHARDPROOF_NCCL_ID_FILE.");
    if (n == 0) break;
    got += std::size_t(n);
  }
  if (got == 0) return id_file_state::absent;
  std::memcpy(&r, bytes, sizeof r);
  return got == sizeof r && std::memcmp(r.magic, id_magic, sizeof id_magic) == 0 && r.check == check_of(r) ? id_file_state::whole : id_file_state::foreign;
}
[[noreturn]] inline void refuse_foreign(const std::string& path) {
  refuse_place("the file " + io::shown(path, 400) + " is no id file.", "name another file in SHARDPROOF_NCCL_ID_FILE; this one is left as it is.");
}

}  // namespace detail

/// Collective: every rank calls it; make_id is called on rank 0. @error SP503 what was started does not fit together, SP502 no id in time
inline company meet_by_file(const place& where, const newcomer& me, const std::function<unique_id()>& make_id, double seconds) {
  detail::id_record r{};
  if (me.rank == 0) {
    if (detail::look_at(where.file, r) == detail::id_file_state::foreign) detail::refuse_foreign(where.file);
    company c{make_id(), {}};
    r = detail::record_of(c.id, me, where.token);
    try {
      io::atomic_writer out(where.file);
      out.write(&r, sizeof r);
      out.commit();
    } catch (const error& e) {
      throw error(code::no_launcher, "rank 0 cannot write the id file " + io::shown(where.file, 400) + ".",
                  std::string("name a file in a folder that all ranks share in SHARDPROOF_NCCL_ID_FILE. [") + e.what() + "]");
    }
    return c;
  }
  const std::string mine = "rank " + std::to_string(me.rank);
  bool stale = false;
  for (const moment limit = after(seconds);;) {
    const detail::id_file_state is = detail::look_at(where.file, r);
    if (is == detail::id_file_state::foreign) detail::refuse_foreign(where.file);
    stale = is == detail::id_file_state::whole && (r.token != where.token || r.protocol != detail::protocol);
    if (is == detail::id_file_state::whole && !stale) break;
    if (now() >= limit)
      throw error(code::rank_lost,
                  "rank 0 was lost or did not write the id file " + io::shown(where.file, 400) + " within " + seconds_text(seconds) + ": " + mine +
                      " waits for it" + (stale ? ", and found one of another run." : "."),
                  stale ? "give all ranks of a run one SHARDPROOF_NCCL_TOKEN; read rank 0's first error."
                        : "start rank 0; name a file that all ranks share; read rank 0's first error.");
    std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds_until(limit, 20)));
  }
  if (r.size != std::uint32_t(me.size) || me.rank >= me.size)
    refuse_place(
        mine + " of " + std::to_string(me.size) + " found an id file of a world of " + std::to_string(r.size) + ": " + io::shown(where.file, 400) + ".",
        "start all ranks with one world size.");
  if (r.version != std::uint32_t(me.version))
    refuse_place(mine + " has NCCL " + std::to_string(me.version) + ", and rank 0 has " + std::to_string(r.version) + ".",
                 "use one version of NCCL on all machines.");
  company c;
  std::memcpy(c.id.data(), r.id, c.id.size());
  return c;
}
/// Only this run's own; what it cannot remove it leaves.
inline void forget_id_file(const place& where) noexcept {
  try {
    detail::id_record r{};
    if (!where.file.empty() && detail::look_at(where.file, r) == detail::id_file_state::whole && r.token == where.token) ::unlink(where.file.c_str());
  } catch (const error&) {}
}

}  // namespace shardproof::nccl
