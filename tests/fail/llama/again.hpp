/// @file
/// Lets the headers of this folder be included once more, in another namespace.
///
///     namespace mistake_04 {
///     #include "fail/llama/again.hpp"
///     #include "fail/mistake_04_all_reduce_missing_in_a_block.cpp"
///     }
#undef LLAMA_ATTENTION_HPP
#undef LLAMA_DIMS_HPP
#undef LLAMA_GATED_MLP_HPP
#undef LLAMA_MODEL_HPP
