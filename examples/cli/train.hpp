#pragma once
/// @file
/// What the files of `train` share.
#include "session.hpp"

namespace cli {

constexpr long most_tokens = 1L << 31, most_steps = 1L << 40;

bool exists(const std::string& path);
/// @error SP001, SP606: an option is out of range.
void want_numbers(const train_options&);
/// That a checkpoint can be written shows before the first step, not behind the last; nothing is left of the attempt.
/// @error SP608: it cannot, or there is one already that is not resumed.
void want_place(const train_options&, bool resumes);

}  // namespace cli
