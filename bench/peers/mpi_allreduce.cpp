/// @file
/// MPI_Allreduce of this machine's MPI, for bench/collectives.cpp: prints seconds per call, undisturbed and all repetitions.
///
///     mpirun -n 2 --bind-to core mpi_allreduce 4096 1048576
#include <cstdlib>
#include <mpi.h>
#include "../measure.hpp"

int main(int count, char** words) {
  MPI_Init(&count, &words);
  int rank = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  for (int i = 1; i < count; ++i) {
    const long bytes = std::atol(words[i]);
    std::vector<float> data(std::size_t(bytes / 4), 0.0f);
    const auto calls = [&](long n) {
      MPI_Barrier(MPI_COMM_WORLD);
      const double start = bench::seconds();
      for (long c = 0; c < n; ++c) MPI_Allreduce(MPI_IN_PLACE, data.data(), int(bytes / 4), MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD);
      return bench::seconds() - start;
    };
    long n = 10;
    double once = calls(n) / double(n);
    MPI_Bcast(&once, 1, MPI_DOUBLE, 0, MPI_COMM_WORLD);
    n = std::max(3l, long(0.01 / std::max(once, 1e-7)));
    bench::series t;
    for (int r = 0; r < 21; ++r) {
      const long before = bench::preemptions();
      double taken = calls(n) / double(n), most = 0;
      long disturbed = bench::preemptions() - before, all = 0;
      MPI_Allreduce(&taken, &most, 1, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD);
      MPI_Allreduce(&disturbed, &all, 1, MPI_LONG, MPI_SUM, MPI_COMM_WORLD);
      t.add(most, all == 0);
    }
    if (rank == 0) std::printf("%ld %.9f %zu %zu\n", bytes, t.median(), t.clean.size(), t.all.size());
  }
  MPI_Finalize();
}
