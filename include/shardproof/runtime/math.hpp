#pragma once
/// @file
/// The few functions of <cmath> that headers need: including it costs every file of a user more than the tape does.
///
///     double r = sp::math::sqrt(2.0);
namespace shardproof::math {

inline double sqrt(double x) { return __builtin_sqrt(x); }
inline double log(double x) { return __builtin_log(x); }
inline double pow(double x, double y) { return __builtin_pow(x, y); }
inline double floor(double x) { return __builtin_floor(x); }
inline double ceil(double x) { return __builtin_ceil(x); }
inline double cos(double x) { return __builtin_cos(x); }
inline double sin(double x) { return __builtin_sin(x); }
inline float cos(float x) { return __builtin_cosf(x); }
inline float sin(float x) { return __builtin_sinf(x); }

}  // namespace shardproof::math
