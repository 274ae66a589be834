#pragma once
/// @file
/// The weights of a checkpoint folder, in one safetensors file or in several with an index.
///
///     const sp::io::checkpoint_files weights("checkpoint");    // model.safetensors, or model.safetensors.index.json
///     const auto& [file, tensor] = weights.at("lm_head.weight");
///     file->copy(*tensor, to);
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
#include <shardproof/io/json_tree.hpp>
#include <shardproof/io/safetensors_file.hpp>
namespace shardproof::io {

/// A tensor and the file it is in.
struct stored_tensor {
  const safetensors_file* file = nullptr;
  const tensor_info* tensor = nullptr;
  std::string_view name() const { return tensor->name; }
  std::string_view bytes() const { return file->bytes(*tensor); }
};

/// All files are opened and checked, and the index is compared with them, before anything is read.
class checkpoint_files {
 public:
  /// `path`: a folder, or a single .safetensors file. As in transformers, model.safetensors comes before an index. SP601 for
  /// malformed files, an index that does not fit its files, and a tensor in two files; SP608 for what cannot be read.
  explicit checkpoint_files(std::string path, safetensors_options options = {}) : path_(std::move(path)) {
    struct stat info {};
    if (::stat(path_.c_str(), &info) != 0) refuse("cannot open", path_, errno);
    if (!S_ISDIR(info.st_mode)) {
      files_.emplace_back(path_, options);
    } else {
      const std::string single = path_ + "/model.safetensors", index = single + ".index.json";
      if (::lstat(single.c_str(), &info) == 0) files_.emplace_back(single, options);
      else if (::lstat(index.c_str(), &info) == 0) open_index(index, options);
      else
        refuse("cannot open", path_, "it holds neither model.safetensors nor model.safetensors.index.json",
               "name the folder of a safetensors checkpoint, or convert the checkpoint to safetensors.");
    }
    gather();
  }

  const std::string& path() const { return path_; }
  const std::deque<safetensors_file>& files() const { return files_; }
  /// Of all files, ordered by name.
  std::span<const stored_tensor> tensors() const { return tensors_; }
  const stored_tensor* find(std::string_view name) const {
    const auto at = std::lower_bound(tensors_.begin(), tensors_.end(), name,
                                     [](const stored_tensor& t, std::string_view n) { return t.name() < n; });
    return at != tensors_.end() && at->name() == name ? &*at : nullptr;
  }
  /// SP602 if there is none.
  const stored_tensor& at(std::string_view name) const {
    if (const stored_tensor* t = find(name)) return *t;
    refuse_missing(name, path_);
  }
  /// Bytes of all tensors together.
  std::uint64_t tensor_bytes() const {
    std::uint64_t sum = 0;
    for (const safetensors_file& f : files_) sum += f.header().data_bytes();
    return sum;
  }

 private:
  // The views of a deque's elements stay valid while it grows.
  void open_index(const std::string& index, safetensors_options options) {
    const json_tree tree = read_json(index, code::malformed_file);
    const json_tree* const map = tree.find("weight_map");
    if (!map || !map->is_object()) refuse_index(index, "it has no object weight_map");
    std::vector<std::pair<std::string_view, std::string_view>> named;      // file, tensor
    for (std::size_t k = 0; k < map->size(); ++k) {
      const std::optional<std::string_view> name = (*map)[k].as_string();
      if (!name) refuse_index(index, "weight_map gives tensor '" + shown(map->names()[k]) + "' a file that is not a string");
      if (!is_plain_name(*name) || name->find_first_of("\n\r\t") != std::string_view::npos || !name->ends_with(".safetensors"))
        refuse_index(index, "weight_map names '" + shown(*name) + "', which is not the plain name of a .safetensors file");
      named.emplace_back(*name, map->names()[k]);
    }
    if (named.empty()) refuse_index(index, "weight_map is empty");
    std::sort(named.begin(), named.end());
    for (std::size_t k = 0; k < named.size(); ++k) {
      const auto& [file, tensor] = named[k];
      if (k == 0 || named[k - 1].first != file) files_.emplace_back(path_ + "/" + std::string(file), options);
      if (!files_.back().find(tensor))
        refuse_index(index, "weight_map puts tensor '" + shown(tensor) + "' into " + shown(file) + ", which does not hold it");
    }
  }
  void gather() {
    for (const safetensors_file& f : files_)
      for (const tensor_info& t : f.tensors()) tensors_.push_back({&f, &t});
    const auto before = [](const stored_tensor& a, const stored_tensor& b) { return a.name() < b.name(); };
    std::sort(tensors_.begin(), tensors_.end(), before);
    for (std::size_t k = 1; k < tensors_.size(); ++k) {
      const stored_tensor &a = tensors_[k - 1], &b = tensors_[k];
      if (a.name() == b.name())
        refuse_file(b.file->path(), "tensor '" + shown(b.name()) + "' is also in " + shown(a.file->path(), 400));
    }
  }
  [[noreturn]] static void refuse_index(std::string_view index, std::string_view detail) {
    throw error(code::malformed_file, "malformed safetensors index " + shown(index, 400) + ": " + std::string(detail) + ".",
                "write the checkpoint again; nothing was loaded from it.");
  }

  std::string path_;
  std::deque<safetensors_file> files_;
  std::vector<stored_tensor> tensors_;
};

}  // namespace shardproof::io
