#pragma once
/// @file
/// Weights between a checkpoint folder and a model: every rank reads only its own byte ranges; a saver is the inverse of a read.
///
///     sp::load(model, "folder");                                           // model.safetensors, or several files with an index
///     sp::io::load_report r = sp::io::load_weights(sp::parameters(model), files, {.type = sp::dtype::f32});
///     sp::io::save_weights(sp::parameters(model), writer);                 // collective; rank 0 writes, one tensor at a time
///
/// A weight [q_heads, head_dim, hidden] is stored as [q_heads * head_dim, hidden]: dimensions of one role are one in the file.
#include <map>
#include <optional>
#include <set>
#include <shardproof/io/atomic_folder.hpp>
#include <shardproof/io/safetensors.hpp>
#include <shardproof/model/gather.hpp>
namespace shardproof::io {

/// Global extents as the file has them.
inline std::vector<std::int64_t> stored_shape(const parameter_view& v) {
  std::vector<std::int64_t> out;
  role last = role::none;
  for (int i = 0; i < v.global.rank; ++i) {
    const role r = v.global.d[i]->is;
    if (!out.empty() && r == last && r != role::none && !v.free) out.back() *= v.global.n[i];
    else out.push_back(v.global.n[i]);
    last = r;
  }
  return out;
}

struct load_options {
  std::optional<dtype> type;  ///< of the parameters; empty: as stored
};
struct load_report {
  std::vector<std::string> unused;  ///< tensors of the files that the model has no place for
  std::uint64_t bytes_read = 0;     ///< of tensor data, by this rank
};

namespace detail {
/// The byte ranges of a stored tensor that this rank holds, in local order.
inline std::vector<byte_range> own_ranges(const parameter_view& v, std::size_t element_bytes) {
  std::vector<byte_range> out;
  each_local_run(v, self.where, [&](long global, long, long count) {
    const std::uint64_t begin = std::uint64_t(global) * element_bytes, end = begin + std::uint64_t(count) * element_bytes;
    if (!out.empty() && out.back().end == begin) out.back().end = end;
    else out.push_back({begin, end});
  });
  return out;
}
inline void convert(void* to, dtype t, const void* from, dtype f, std::size_t n) {
  visit(t, [&](auto a) {
    visit(f, [&](auto b) {
      using A = decltype(a);
      using B = decltype(b);
      auto* out = static_cast<A*>(to);
      auto* in = static_cast<const B*>(from);
      for (std::size_t i = 0; i < n; ++i) {
        if constexpr (std::is_same_v<A, B>) out[i] = in[i];
        else if constexpr (sizeof(A) == 2) out[i] = A(float(in[i]));
        else if constexpr (sizeof(B) == 2) out[i] = A(float(in[i]));
        else out[i] = A(in[i]);
      }
    });
  });
}
/// A pair of dtypes that a load may convert between: floats among themselves, integers not at all.
inline bool convertible(dtype a, dtype b) { return a == b || (is_float(a) && is_float(b)); }
}  // namespace detail

/// Allocates this rank's part of a parameter and reads it.
/// @error SP602 no such tensor; SP603 another shape, or a type that is not converted; SP105 it cannot be dealt to the ranks.
inline void load_parameter(const parameter_view& v, const checkpoint_files& files, const load_options& o, load_report& report) {
  const stored_tensor& stored = files.at(v.name);
  const tensor_info& t = *stored.tensor;
  const std::vector<std::int64_t> want = stored_shape(v);
  const dtype from = type_of(t), to = o.type && is_float(from) ? *o.type : from;
  bool same = want.size() == t.shape.size();
  for (std::size_t i = 0; same && i < want.size(); ++i) same = want[i] == t.shape[i];
  if (!same)
    throw error(code::wrong_shape,
                "tensor " + shown(v.name) + " is " + described(t) + " in the file and " +
                    described(name_of(stored_as(to)), want) + " in the model.",
                "correct the model's dimensions, or declare the conversion.");
  if (!detail::convertible(from, to) || !is_float(from))
    throw error(code::wrong_shape,
                "tensor " + shown(v.name) + " is " + described(t) + " in the file, which is no floating-point parameter.",
                "correct the checkpoint, or declare the conversion.");
  ref r = materialise(v, to);
  const std::vector<byte_range> ranges = detail::own_ranges(v, bytes_of(from));
  for (const byte_range& b : ranges) report.bytes_read += b.end - b.begin;
  const std::size_t n = std::size_t(r->s.count());
  if (!n) return;
  if (from == to && device().host_memory()) {
    stored.file->copy_ranges(t, ranges, r->data.get());
    return;
  }
  std::vector<char> raw(n * bytes_of(from));
  stored.file->copy_ranges(t, ranges, raw.data());
  if (from == to) {
    device().from_host(r->v(), raw.data());
    return;
  }
  std::vector<char> converted(n * bytes_of(to));
  detail::convert(converted.data(), to, raw.data(), from, n);
  device().from_host(r->v(), converted.data());
}

/// All parameters and buffers of a model.
inline load_report load_weights(const std::vector<parameter_view>& all, const checkpoint_files& files,
                                const load_options& o = {}) {
  load_report report;
  for (const auto& v : all) load_parameter(v, files, o, report);
  std::set<std::string_view> used;
  for (const auto& v : all) used.insert(v.name);
  for (const auto& t : files.tensors())
    if (!used.contains(t.name())) report.unused.emplace_back(t.name());
  return report;
}

/// What a file of these parameters will hold; stored as `type` where given, else as each parameter is.
inline std::vector<tensor_entry> entries_of(const std::vector<parameter_view>& all, std::optional<dtype> type = {}) {
  std::vector<tensor_entry> out;
  for (const auto& v : all) out.push_back({v.name, stored_as(type ? *type : (*v.at)->type), stored_shape(v)});
  sort_entries(out);
  return out;
}

/// Gathers and writes one tensor after the other. Collective: every rank calls it, rank 0 of the world with a writer.
inline void save_weights(const std::vector<parameter_view>& all, atomic_writer* out, std::optional<dtype> type = {},
                         const safetensors_metadata& metadata = {{"format", "pt"}}) {
  std::map<std::string_view, const parameter_view*> named;
  for (const auto& v : all) {
    if (!*v.at) shardproof::detail::refuse_unset(v.name);
    named.emplace(v.name, &v);
  }
  const std::vector<tensor_entry> entries = entries_of(all, type);
  std::optional<safetensors_writer> writer;
  if (out) writer.emplace(*out, entries, metadata);
  for (const auto& e : entries) {
    const parameter_view* v = named.at(e.name);
    const ref whole = shardproof::detail::whole_of(*v, (*v->at)->v());
    if (!writer) continue;
    const std::size_t n = std::size_t(whole->s.count());
    std::vector<char> raw(n * bytes_of(whole->type));
    if (n) device().to_host(raw.data(), whole->v());
    const dtype to = *dtype_of(e.type);
    if (to != whole->type) {
      std::vector<char> converted(n * bytes_of(to));
      detail::convert(converted.data(), to, raw.data(), whole->type, n);
      raw.swap(converted);
    }
    writer->append(raw.data(), raw.size());
  }
  if (writer) writer->finish();
}

}  // namespace shardproof::io

namespace shardproof {

/// Loads a model from a checkpoint folder or file; every rank reads its own part. @error SP601, SP602, SP603, SP608, SP105.
template <class M> io::load_report load(M& model, const std::string& path, const io::load_options& o = {}) {
  const io::checkpoint_files files(path);
  return io::load_weights(parameters(model), files, o);
}
/// Writes model.safetensors into a folder that is replaced as a whole or not at all. Collective.
template <class M> void save(M& model, const std::string& folder, std::optional<dtype> type = {}) {
  std::optional<io::atomic_folder> out;
  if (first_rank()) out.emplace(folder);
  io::save_weights(parameters(model), out ? &out->add("model.safetensors") : nullptr, type);
  if (out) out->commit("model.safetensors");
  if (self.world) self.world->barrier();               // no rank may load what the first one is still writing
}

}  // namespace shardproof
