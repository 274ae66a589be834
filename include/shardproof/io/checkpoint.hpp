#pragma once
/// @file
/// Weights between a checkpoint folder and a model: every rank reads only its own byte ranges; a saver is the inverse of a read.
///
///     sp::load(model, "folder");                                           // model.safetensors, or several files with an index
///     sp::io::load_report r = sp::io::load_weights(sp::parameters(model), files, {.type = sp::dtype::f32});
///     sp::io::save_weights(sp::parameters(model), writer);                 // collective; rank 0 writes, one tensor at a time
///
/// A weight [q_heads, head_dim, hidden] is stored as [q_heads * head_dim, hidden]: dimensions of one role are one in the file. A stack of
/// experts [n_experts, 2 ffn, hidden] may be stored as two matrices an expert: parameter_view::stored names them.
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
    if (!out.empty() && r == last && r != role::none && !v.unroled) out.back() *= v.global.n[i];
    else out.push_back(v.global.n[i]);
    last = r;
  }
  return out;
}

/// The same of each of the tensors that a parameter is kept in: an expert's matrix, or its upper half.
inline std::vector<std::int64_t> block_shape(const parameter_view& v) {
  std::vector<std::int64_t> out = stored_shape(v);
  const auto blocks = std::int64_t(v.stored.size());
  if (!blocks || (blocks == 1 && v.global.d[0]->is != role::experts)) return out;                   // itself, or under another name
  const std::int64_t outer = out.front(), parts = outer ? blocks / outer : 1;
  out.erase(out.begin());
  if (!out.empty() && parts > 0) out.front() /= parts;
  return out;
}
/// Their names.
inline std::vector<std::string> names_of(const parameter_view& v) { return v.stored.empty() ? std::vector<std::string>{v.name} : v.stored; }

struct load_options {
  std::optional<dtype> type;  ///< of the parameters; empty: as stored
};
struct load_report {
  std::vector<std::string> unused;  ///< tensors of the files that the model has no place for
  std::uint64_t bytes_read = 0;     ///< of tensor data, by this rank
};

namespace detail {
/// The elements of each block of a stored parameter that this rank holds, in local order.
inline std::vector<std::vector<byte_range>> own_ranges(const parameter_view& v, std::uint64_t block, std::size_t blocks) {
  std::vector<std::vector<byte_range>> out(blocks);
  each_local_run(v, self.where, [&](long global, long, long count) {
    for (std::uint64_t at = std::uint64_t(global), end = at + std::uint64_t(count); at < end;) {
      const std::uint64_t k = at / block, begin = at - k * block, n = std::min(end - at, block - begin);
      auto& ranges = out[std::size_t(k)];
      if (!ranges.empty() && ranges.back().end == begin) ranges.back().end += n;
      else ranges.push_back({begin, begin + n});
      at += n;
    }
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

/// @error SP602 no such tensor; SP603 another shape, or a type that is not converted.
inline const stored_tensor& required(const std::string& name, const std::vector<std::int64_t>& want, std::optional<dtype> to, const checkpoint_files& files) {
  const stored_tensor& stored = files.at(name);
  const tensor_info& t = *stored.tensor;
  const dtype from = type_of(t), as = to && is_float(from) ? *to : from;
  bool same = want.size() == t.shape.size();
  for (std::size_t i = 0; same && i < want.size(); ++i) same = want[i] == t.shape[i];
  if (!same)
    throw error(code::wrong_shape,
                "tensor " + shown(name) + " is " + described(t) + " in the file and " + described(name_of(stored_as(as)), want) + " in the model.",
                "correct the model's dimensions, or declare the conversion.");
  if (!convertible(from, as) || !is_float(from))
    throw error(code::wrong_shape, "tensor " + shown(name) + " is " + described(t) + " in the file, which is no floating-point parameter.",
                "correct the checkpoint, or declare the conversion.");
  return stored;
}
}  // namespace detail

/// Allocates this rank's part of a parameter and reads it, from one tensor or from several (see parameter_view::stored).
/// @error SP602 no such tensor; SP603 another shape, or a type that is not converted; SP105 it cannot be dealt to the ranks.
inline void load_parameter(const parameter_view& v, const checkpoint_files& files, const load_options& o, load_report& report) {
  const std::vector<std::string> names = names_of(v);
  const std::vector<std::int64_t> shape = block_shape(v);
  std::vector<const stored_tensor*> blocks;
  std::optional<dtype> to = o.type;
  for (const auto& name : names) {
    blocks.push_back(&detail::required(name, shape, to, files));
    if (!to) to = type_of(*blocks.back()->tensor);
  }
  ref r = materialise(v, *to);
  std::uint64_t each = 1;
  for (const std::int64_t n : shape) each *= std::uint64_t(n);
  if (!each || !r->s.count()) return;
  auto ranges = detail::own_ranges(v, each, blocks.size());
  std::vector<char> host(device().host_memory() ? 0 : std::size_t(r->s.count()) * bytes_of(*to)), raw;
  char* out = host.empty() ? static_cast<char*>(r->data.get()) : host.data();
  for (std::size_t k = 0; k < blocks.size(); ++k) {
    const tensor_info& t = *blocks[k]->tensor;
    const dtype from = type_of(t);
    std::size_t n = 0;
    for (auto& b : ranges[k]) {
      n += std::size_t(b.end - b.begin);
      b.begin *= bytes_of(from);
      b.end *= bytes_of(from);
    }
    if (!n) continue;
    report.bytes_read += n * bytes_of(from);
    if (from == *to) blocks[k]->file->copy_ranges(t, ranges[k], out);
    else {
      raw.resize(n * bytes_of(from));
      blocks[k]->file->copy_ranges(t, ranges[k], raw.data());
      detail::convert(out, *to, raw.data(), from, n);
    }
    out += n * bytes_of(*to);
  }
  if (!host.empty()) device().from_host(r->v(), host.data());
}

/// All parameters and buffers of a model.
inline load_report load_weights(const std::vector<parameter_view>& all, const checkpoint_files& files,
                                const load_options& o = {}) {
  load_report report;
  for (const auto& v : all) load_parameter(v, files, o, report);
  std::set<std::string> used;
  for (const auto& v : all) for (auto& name : names_of(v)) used.insert(std::move(name));
  for (const auto& t : files.tensors())
    if (!used.contains(std::string(t.name()))) report.unused.emplace_back(t.name());
  return report;
}

/// What a file of these parameters will hold; stored as `type` where given, else as each parameter is.
inline std::vector<tensor_entry> entries_of(const std::vector<parameter_view>& all, std::optional<dtype> type = {}) {
  std::vector<tensor_entry> out;
  for (const auto& v : all) for (const auto& name : names_of(v)) out.push_back({name, stored_as(type ? *type : (*v.at)->type), block_shape(v)});
  sort_entries(out);
  return out;
}

namespace detail {
/// Whole parameters, gathered when first asked for; the last few are kept, since the blocks of two stacks of experts take turns.
class gathered_wholes {
  std::vector<std::pair<const parameter_view*, ref>> kept_;

 public:
  ref of(const parameter_view& v) {
    for (const auto& [view, whole] : kept_) if (view == &v) return whole;
    if (v.stored.size() < 2) return shardproof::detail::whole_of(v, (*v.at)->v());
    if (kept_.size() == 4) kept_.erase(kept_.begin());
    return kept_.emplace_back(&v, shardproof::detail::whole_of(v, (*v.at)->v())).second;
  }
};
}  // namespace detail

/// Gathers and writes one tensor after the other. Collective: every rank calls it, rank 0 of the world with a writer.
inline void save_weights(const std::vector<parameter_view>& all, atomic_writer* out, std::optional<dtype> type = {},
                         const safetensors_metadata& metadata = {{"format", "pt"}}) {
  struct place { const parameter_view* v; std::size_t block; };
  std::map<std::string, place> named;
  for (const auto& v : all) {
    if (!*v.at) shardproof::detail::refuse_unset(v.name);
    std::size_t k = 0;
    for (auto& name : names_of(v)) named.emplace(std::move(name), place{&v, k++});
  }
  const std::vector<tensor_entry> entries = entries_of(all, type);
  std::optional<safetensors_writer> writer;
  if (out) writer.emplace(*out, entries, metadata);
  detail::gathered_wholes wholes;
  for (const auto& e : entries) {
    const auto [v, block] = named.at(e.name);
    const ref whole = wholes.of(*v);
    if (!writer) continue;
    const std::size_t n = std::size_t(whole->s.count()) / std::max<std::size_t>(v->stored.size(), 1), size = n * bytes_of(whole->type);
    std::vector<char> raw(size);
    if (n) device().to_host(raw.data(), {static_cast<char*>(whole->data.get()) + block * size, whole->type, {long(n)}});
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
