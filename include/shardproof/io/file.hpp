#pragma once
/// @file
/// Files, read through a mapping and written all or nothing.
///
///     const sp::io::file in("model.safetensors");
///     sp::io::write_text("config.json", text);
///     sp::io::atomic_folder out("checkpoint");
#include <shardproof/io/atomic_folder.hpp>
#include <shardproof/io/atomic_writer.hpp>
#include <shardproof/io/mapped_file.hpp>
