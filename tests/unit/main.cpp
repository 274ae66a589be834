// The entry point of unit_tests and equivalence_tests, in a file of its own since Catch2's part of it takes seconds to compile.
#define CATCH_CONFIG_MAIN
#include <catch2/catch.hpp>
