# How this project's own binaries are compiled; nothing here reaches a consumer.
include(CheckCXXCompilerFlag)
set(CMAKE_CXX_EXTENSIONS OFF)
set(shardproof_warnings -Wall -Wextra -Wpedantic -Wconversion -Wshadow $<$<CXX_COMPILER_ID:Clang>:-Wno-sign-conversion>)
if(SHARDPROOF_WARNINGS_AS_ERRORS)
  list(APPEND shardproof_warnings -Werror)
endif()

# Every file of a program gets the processor flag, not only the kernels: Eigen's alignment must be the same in all of them.
if(SHARDPROOF_NATIVE)
  check_cxx_compiler_flag(-march=native shardproof_has_native)
endif()

set(shardproof_sanitizers)
if(SHARDPROOF_SANITIZE)
  set(shardproof_sanitizers -fsanitize=${SHARDPROOF_SANITIZE} -fno-omit-frame-pointer -g1)
  if(SHARDPROOF_SANITIZE MATCHES "undefined")
    # With its checks of null g++ 12 no longer takes the address of a dimension's description for a constant.
    list(APPEND shardproof_sanitizers -fno-sanitize-recover=undefined
                "$<$<CXX_COMPILER_ID:GNU>:-fno-sanitize=null,nonnull-attribute,returns-nonnull-attribute>")
  endif()
endif()

# shardproof_holds(variable file regex): whether a line of `file` matches; the build is configured anew when `file` changes.
function(shardproof_holds variable file regex)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${file})
  file(STRINGS ${file} lines REGEX "${regex}")
  if(lines)
    set(${variable} TRUE PARENT_SCOPE)
  else()
    set(${variable} FALSE PARENT_SCOPE)
  endif()
endfunction()

# shardproof_own(target): -O1, which is enough for all that only plans, types and erased code do; -O3 for a file with the kernels.
function(shardproof_own target)
  target_link_libraries(${target} PRIVATE shardproof::shardproof)
  target_compile_options(${target} PRIVATE "$<$<COMPILE_LANGUAGE:CXX>:${shardproof_warnings}>" -O1 ${shardproof_sanitizers})
  if(shardproof_has_native)
    target_compile_options(${target} PRIVATE $<$<COMPILE_LANGUAGE:CXX>:-march=native>)
  endif()
  target_link_options(${target} PRIVATE ${shardproof_sanitizers})
  get_target_property(sources ${target} SOURCES)
  foreach(source ${sources})
    cmake_path(ABSOLUTE_PATH source BASE_DIRECTORY ${CMAKE_CURRENT_SOURCE_DIR})
    if(EXISTS ${source})
      shardproof_holds(has_kernels ${source} "^[ \t]*#[ \t]*include[ \t]*<shardproof/backend/cpu[./]")
      if(has_kernels)
        set_property(SOURCE ${source} APPEND PROPERTY COMPILE_OPTIONS -O3)
      endif()
    endif()
  endforeach()
endfunction()

# shardproof_program(name source...): one executable of this project.
function(shardproof_program name)
  add_executable(${name} ${ARGN})
  shardproof_own(${name})
endfunction()
