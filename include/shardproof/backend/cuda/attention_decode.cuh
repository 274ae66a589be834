#pragma once
/// @file
/// Attention whose keys are cut among blocks, since its rows are too few to fill a device: as in decoding, and of short prompts behind
/// a long cache. Each split leaves its rows undivided, with their maximum and sum; a second pass combines them.
/// Dao, Haziza, Massa & Sizov, "Flash-Decoding" (pytorch.org/blog/flash-decoding, 2023).
///
///     job.splits = splits_for(blocks, keys, 64);  split_rows<float> parts(job);  launch(...);  parts.combine(job);
///
/// Tiling of the second pass: a block a row, its threads side by side over the columns.
/// Bytes: splits * rows * value_dim, written once and read once; of k and v nothing is read twice. FLOP: 2 for each of them.
#include <shardproof/backend/cuda/attention_forward.cuh>
#include <shardproof/backend/cuda/converted.cuh>
namespace shardproof::cuda::detail {

/// Into how many the keys of a row are cut: four blocks for each processor of an H200, but no less than four tiles of keys each. It is
/// the shapes that decide, not the device at hand: equal ranks have equal bits.
inline long splits_for(long blocks, long keys, long tile) {
  constexpr long wanted = 4 * 132;
  return upper(lower(wanted / upper(blocks, 1l), keys / (4 * tile)), 1l);
}

/// How many keys the last rows see, which under a causal mask are those that see most.
inline long longest_range(const attention_mask& m, const attention_heads& h, long rows) {
  const long last = m.seq - 1;
  return m.end_key(last) - m.first_key(upper(last - rows / h.most(), 0l));
}

/// Row r of y from its parts [splits, rows, value_dim] and [splits, rows, 2].
template <class T> __global__ void combine_splits(attention_job<T> a) {
  const long rows = a.rows();
  for (long r = blockIdx.x; r < rows; r += gridDim.x) {
    T top = row_state<T>::none, sum = 0;
    for (long s = 0; s < a.splits; ++s) top = upper(top, a.partial_sums[2 * (s * rows + r)]);
    for (long c = threadIdx.x; c < a.value_dim; c += blockDim.x) {
      T y = 0;
      sum = 0;
#pragma unroll 4
      for (long s = 0; s < a.splits; ++s) {
        const T mine = a.partial_sums[2 * (s * rows + r)];
        if (mine == row_state<T>::none) continue;        // saw nothing; what it left may be anything
        const T factor = std::exp(mine - top);
        sum += factor * a.partial_sums[2 * (s * rows + r) + 1];
        y += factor * a.partial[(s * rows + r) * a.value_dim + c];
      }
      a.y[r * a.value_dim + c] = top == row_state<T>::none ? T(0) : y / sum;
    }
    const long position = r / a.heads.heads, head = r % a.heads.heads;
    if (threadIdx.x == 0) a.log_sum.put((position / a.mask.seq * a.heads.heads + head) * a.mask.seq + position % a.mask.seq, row_state<T>::log(top, sum));
  }
}

/// The parts, for the scope of an attention.
template <class T> struct split_rows {
  scratch<T> rows, sums;
  explicit split_rows(attention_job<T>& a) : rows(of_all_splits(a) * a.value_dim), sums(of_all_splits(a) * 2) {
    a.partial = rows.p;
    a.partial_sums = sums.p;
  }
  void combine(const attention_job<T>& a) const {
    if (a.partial) launch("attention's splits", combine_splits<T>, {.blocks = at_most(a.rows(), most_blocks), .threads = 128}, a);
  }

 private:
  static long of_all_splits(const attention_job<T>& a) { return a.splits == 1 ? 0 : a.splits * a.rows(); }
};

}  // namespace shardproof::cuda::detail
