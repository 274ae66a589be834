#pragma once
/// @file
/// The safetensors format: one file, a folder of files, and the writer.
///
///     const sp::io::checkpoint_files weights("checkpoint");
///     for (const sp::io::stored_tensor& t : weights.tensors()) std::puts(sp::io::described(*t.tensor).c_str());
///     sp::io::write_safetensors(out, entries, data);
#include <shardproof/io/checkpoint_files.hpp>
#include <shardproof/io/element.hpp>
#include <shardproof/io/safetensors_file.hpp>
#include <shardproof/io/safetensors_header.hpp>
#include <shardproof/io/safetensors_writer.hpp>
