# What shardproof's headers may use, found where present. Used by the build and, once installed, by find_package(shardproof).

# Linked by shardproof::shardproof, each only if the consumer's machine has it: threads for engine/threads.hpp, Eigen for
# backend/cpu.hpp, Boost.Hana for hana.hpp, range-v3 for report/.
set(shardproof_packages
  Threads::Threads
  $<TARGET_NAME_IF_EXISTS:Eigen3::Eigen>
  $<TARGET_NAME_IF_EXISTS:Boost::headers>
  $<TARGET_NAME_IF_EXISTS:range-v3::range-v3>)

macro(shardproof_find_packages)
  find_package(Threads REQUIRED)
  find_package(Eigen3 3.4 QUIET NO_MODULE)
  find_package(Boost 1.74 QUIET)
  find_package(range-v3 QUIET)
endmacro()

# shardproof_find_components(cpu mpi cuda nccl): targets shardproof::<name> for those the machine has, and shardproof_<name>_FOUND.
macro(shardproof_find_components)
  foreach(component ${ARGN})
    set(shardproof_${component}_FOUND FALSE)
    if(component STREQUAL "cpu")                                       # backend/cpu.hpp includes Eigen
      find_package(Eigen3 3.4 QUIET NO_MODULE)
      set(shardproof_needs Eigen3::Eigen)
    elseif(component STREQUAL "mpi")
      find_package(MPI QUIET COMPONENTS CXX)
      set(shardproof_needs MPI::MPI_CXX)
    elseif(component STREQUAL "cuda")
      find_package(CUDAToolkit QUIET)
      set(shardproof_needs CUDA::cudart CUDA::cublasLt)
    elseif(component STREQUAL "nccl")
      find_package(CUDAToolkit QUIET)
      find_package(NCCL QUIET)
      set(shardproof_needs NCCL::NCCL CUDA::cudart)
    else()
      set(shardproof_needs shardproof_has_no_such_component)
    endif()
    set(shardproof_${component}_FOUND TRUE)
    foreach(target ${shardproof_needs})
      if(NOT TARGET ${target})
        set(shardproof_${component}_FOUND FALSE)
      endif()
    endforeach()
    if(shardproof_${component}_FOUND AND NOT TARGET shardproof::${component})
      add_library(shardproof::${component} INTERFACE IMPORTED ${shardproof_scope})
      target_link_libraries(shardproof::${component} INTERFACE shardproof::shardproof ${shardproof_needs})
      if(component STREQUAL "mpi")                                     # MPI's retired C++ half is large and never used here
        target_compile_definitions(shardproof::mpi INTERFACE OMPI_SKIP_MPICXX=1 MPICH_SKIP_MPICXX=1)
      endif()
    endif()
    if(NOT shardproof_FIND_QUIETLY)
      message(STATUS "shardproof::${component}: ${shardproof_${component}_FOUND}")
    endif()
  endforeach()
endmacro()
