// runtime/backend.hpp, for every backend linked into the program: memory, elementwise kernels, functions, copies, products.
#include <functional>
#include <string>
#include "conformance.hpp"
using namespace conformance;
using sp::dtype;

TEST_CASE("a backend's blocks are aligned, keep what is written, and may be empty", "[conformance]") {
  for (sp::backend* b : devices())
    for (const std::size_t bytes : {0ul, 1ul, 64ul, 1000ul, 5000000ul}) {
      void* const p = b->allocate(bytes);
      CHECK(p != nullptr);
      CHECK(reinterpret_cast<std::size_t>(p) % 64 == 0);
      b->release(p, bytes);
    }
  for (sp::backend* b : devices())
    for (const dtype t : {dtype::f32, dtype::f64, dtype::bf16, dtype::f16, dtype::i64, dtype::i32, dtype::i8, dtype::u8}) {
      const on_device x(*b, t, {2, 3}, {0, 1, 2, 3, 64, 127});
      CHECK(x.values() == numbers{0, 1, 2, 3, 64, 127});
      CHECK(b->read(x.v, 4) == 64);
    }
}

TEST_CASE("fill writes every element of any type", "[conformance]") {
  for (sp::backend* b : devices())
    for (const dtype t : {dtype::f32, dtype::f64, dtype::bf16, dtype::f16, dtype::i64, dtype::i32}) {
      const on_device x(*b, t, {3, 7}), none(*b, t, {0, 7});
      b->fill(x.v, 3);
      b->fill(none.v, 3);
      CHECK(x.values() == numbers(21, 3.0));
      b->fill(x.v, 0);
      CHECK(x.values() == numbers(21, 0.0));
    }
}

TEST_CASE("cast converts between all types, rounding to the nearest", "[conformance]") {
  for (sp::backend* b : devices())
    for (const dtype from : {dtype::f32, dtype::f64, dtype::bf16, dtype::f16, dtype::i64, dtype::i32})
      for (const dtype to : {dtype::f32, dtype::f64, dtype::bf16, dtype::f16, dtype::i64, dtype::i32}) {
        CAPTURE(sp::name_of(from), sp::name_of(to));
        const on_device x(*b, from, {35}, 100 * noise(35, 7)), y(*b, to, {35});
        b->cast(y.v, x.v);
        numbers expected = x.values();
        sp::visit(to, [&](auto zero) {
          for (double& v : expected) v = static_cast<double>(stored_as<decltype(zero)>(v));
        });
        CHECK(y.values() == expected);
      }
  for (sp::backend* b : devices()) {
    constexpr double inf = std::numeric_limits<double>::infinity();
    const numbers special{0, -0.0, inf, -inf, std::nan(""), 1e-7, -6e-8, 65504, 70000, 1.00390625, 1.01171875, 6.1e-5};
    for (const dtype t : {dtype::bf16, dtype::f16}) {
      const on_device x(*b, dtype::f32, {12}, special), y(*b, t, {12}), back(*b, dtype::f32, {12});
      b->cast(y.v, x.v);
      b->cast(back.v, y.v);
      numbers expected;
      sp::visit(t, [&](auto zero) {
        for (double v : special) expected.push_back(static_cast<double>(stored_as<decltype(zero)>(v)));
      });
      CHECK(off(y.values(), expected) == 0);
      CHECK(off(back.values(), expected) == 0);
    }
  }
}

namespace {
struct repeat { sp::shape a, b; };
const repeat repeats[] = {{{3, 5}, {3, 5}}, {{3, 5}, {5}}, {{4, 3, 17}, {17}}, {{2, 3, 4}, {3, 4}}, {{7, 16}, {16}}, {{2, 33}, {1}}, {{5, 1}, {1}}, {{0, 5}, {5}}, {{1000, 3}, {3}}};
}  // namespace

TEST_CASE("add and multiply repeat the second operand over leading extents", "[conformance]") {
  for (sp::backend* b : devices())
    for (const dtype t : compute_types)
      for (const dtype u : float_types) {
        if (u == dtype::f64 && t != dtype::f64) continue;
        for (const repeat& r : repeats) {
          CAPTURE(sp::name_of(t), sp::name_of(u), r.a.count(), r.b.count());
          const on_device x(*b, t, r.a, noise(r.a.count(), 1)), w(*b, u, r.b, noise(r.b.count(), 2)), sum(*b, t, r.a), product(*b, t, r.a);
          b->add(sum.v, x.v, w.v);
          b->multiply(product.v, x.v, w.v);
          const numbers p = x.values(), q = w.values();
          numbers plus(p.size()), times(p.size());
          for (std::size_t i = 0; i < p.size(); ++i) plus[i] = p[i] + q[i % q.size()], times[i] = p[i] * q[i % q.size()];
          CHECK(off(sum.values(), plus) < tolerance(t));
          CHECK(off(product.values(), times) < tolerance(t));
          b->add(x.v, x.v, w.v);                                       // in place
          CHECK(off(x.values(), plus) < tolerance(t));
        }
      }
}

TEST_CASE("multiply_backward and accumulate add, and sum what was repeated", "[conformance]") {
  for (sp::backend* b : devices())
    for (const dtype t : compute_types)
      for (const repeat& r : repeats) {
        CAPTURE(sp::name_of(t), r.a.count(), r.b.count());
        const on_device x(*b, t, r.a, noise(r.a.count(), 1)), w(*b, t, r.b, noise(r.b.count(), 2)), g(*b, t, r.a, noise(r.a.count(), 3));
        const on_device dx(*b, t, r.a), dw(*b, t, r.b), sum(*b, t, r.b);
        const numbers p = x.values(), q = w.values(), u = g.values();
        numbers expected_x(p.size()), expected_w(q.size()), expected_sum(q.size());
        for (std::size_t i = 0; i < p.size(); ++i) {
          expected_x[i] = u[i] * q[i % q.size()];
          expected_w[i % q.size()] += u[i] * p[i];
          expected_sum[i % q.size()] += -2 * u[i];
        }
        for (int times = 1; times <= 2; ++times) {
          b->multiply_backward(dx.v, dw.v, g.v, x.v, w.v);
          b->accumulate(sum.v, g.v, -2);
          CHECK(off(dx.values(), times * expected_x) < tolerance(t));
          CHECK(off(dw.values(), times * expected_w) < tolerance(t));
          CHECK(off(sum.values(), times * expected_sum) < tolerance(t));
        }
        b->multiply_backward({}, dw.v, g.v, x.v, w.v);
        b->multiply_backward(dx.v, {}, g.v, x.v, w.v);
        CHECK(off(dx.values(), 3 * expected_x) < tolerance(t));
        CHECK(off(dw.values(), 3 * expected_w) < tolerance(t));
      }
}

namespace {
struct function { const char* name; sp::unary f; double p; std::function<double(double)> value; };
const function functions[] = {
    {"silu", sp::unary::silu, 0, [](double x) { return x / (1 + std::exp(-x)); }},
    {"gelu", sp::unary::gelu, 0, [](double x) { return 0.5 * x * std::erfc(-x / std::sqrt(2.0)); }},
    {"gelu_tanh", sp::unary::gelu_tanh, 0, [](double x) { return x / (1 + std::exp(-2 * std::sqrt(2 / std::acos(-1.0)) * (x + 0.044715 * x * x * x))); }},
    {"relu", sp::unary::relu, 0, [](double x) { return x > 0 ? x : 0; }},
    {"squared_relu", sp::unary::squared_relu, 0, [](double x) { return x > 0 ? x * x : 0; }},
    {"sigmoid", sp::unary::sigmoid, 0, [](double x) { return 1 / (1 + std::exp(-x)); }},
    {"tanh", sp::unary::tanh, 0, [](double x) { return std::tanh(x); }},
    {"scale", sp::unary::scale, -1.5, [](double x) { return -1.5 * x; }},
    {"shift", sp::unary::shift, 0.25, [](double x) { return x + 0.25; }},
    {"softcap", sp::unary::softcap, 30, [](double x) { return 30 * std::tanh(x / 30); }},
    {"exp", sp::unary::exp, 0, [](double x) { return std::exp(x); }},
    {"rsqrt", sp::unary::rsqrt, 100, [](double x) { return 1 / std::sqrt(x + 100); }},
    {"at_most", sp::unary::at_most, 0.7, [](double x) { return std::min(x, 0.7); }},
    {"clamp", sp::unary::clamp, 0.7, [](double x) { return std::max(std::min(x, 0.7), -0.7); }},
};
}  // namespace

TEST_CASE("functions are as accurate as their type", "[conformance]") {
  for (sp::backend* b : devices())
    for (const dtype t : compute_types)
      for (const function& f : functions)
        for (const double range : {1e-3, 1.0, 9.0, 80.0}) {
          CAPTURE(f.name, sp::name_of(t), range);
          const long n = 613;
          const on_device x(*b, t, {n}, range * noise(n, 5)), y(*b, t, {n});
          b->apply(f.f, y.v, x.v, f.p);
          numbers expected = x.values();
          for (double& v : expected) v = f.value(v);
          // f32 squares the argument of a tail of e^(-x^2 / 2): its relative error there is that of the square.
          if (f.f != sp::unary::gelu && f.f != sp::unary::gelu_tanh) CHECK(off_relatively(y.values(), expected) < (t == dtype::f64 ? 2e-14 : 2e-6));
          CHECK(off(y.values(), expected) < (t == dtype::f64 ? 1e-14 : 1e-6));
        }
}

TEST_CASE("functions have their limits, and NaN stays NaN", "[conformance]") {
  constexpr double inf = std::numeric_limits<double>::infinity();
  for (sp::backend* b : devices())
    for (const dtype t : compute_types) {
      const on_device x(*b, t, {4}, {inf, -inf, std::nan(""), 0}), y(*b, t, {4});
      const auto result = [&](sp::unary f) {
        b->apply(f, y.v, x.v, 1);
        return y.values();
      };
      CHECK(off(result(sp::unary::exp), {inf, 0, std::nan(""), 1}) < 1e-7);
      CHECK(off(result(sp::unary::sigmoid), {1, 0, std::nan(""), 0.5}) < 1e-7);
      CHECK(off(result(sp::unary::tanh), {1, -1, std::nan(""), 0}) < 1e-7);
      CHECK(off(result(sp::unary::softcap), {1, -1, std::nan(""), 0}) < 1e-7);
      CHECK(off(result(sp::unary::relu), {inf, 0, std::nan(""), 0}) < 1e-7);
      CHECK(off(result(sp::unary::at_most), {1, -inf, std::nan(""), 0}) < 1e-7);
      CHECK(off(result(sp::unary::clamp), {1, -1, std::nan(""), 0}) < 1e-7);
    }
}

TEST_CASE("gradients of functions agree with central differences and add up", "[conformance]") {
  for (sp::backend* b : devices())
    for (const function& f : functions) {
      CAPTURE(f.name);
      const on_device x(*b, dtype::f64, {37}, 2.5 * noise(37, 5)), y(*b, dtype::f64, {37}), g(*b, dtype::f64, {37}, noise(37, 6)), dx(*b, dtype::f64, {37});
      b->apply(f.f, y.v, x.v, f.p);
      b->apply_backward(f.f, dx.v, g.v, x.v, y.v, f.p);
      const numbers once = dx.values();
      CHECK(gradient_off(x, once, [&] { return b->apply(f.f, y.v, x.v, f.p), dot(y.values(), g.values()); }) < 1e-6);
      b->apply(f.f, y.v, x.v, f.p);
      b->apply_backward(f.f, dx.v, g.v, x.v, y.v, f.p);
      CHECK(off(dx.values(), 2 * once) < 1e-14);

      const on_device xs(*b, dtype::f32, {37}, x.values()), ys(*b, dtype::f32, {37}), gs(*b, dtype::f32, {37}, g.values()), dxs(*b, dtype::f32, {37});
      b->apply(f.f, ys.v, xs.v, f.p);
      b->apply_backward(f.f, dxs.v, gs.v, xs.v, ys.v, f.p);
      CHECK(off(dxs.values(), once) < 2e-6);
    }
}

TEST_CASE("copy moves rows between strides and adds if asked", "[conformance]") {
  for (sp::backend* b : devices())
    for (const dtype t : {dtype::f32, dtype::f64, dtype::bf16, dtype::i64}) {
      numbers from(40), to(36, 7.0);
      for (std::size_t i = 0; i < from.size(); ++i) from[i] = double(i);
      const on_device src(*b, t, {40}, from), dst(*b, t, {36}, to);
      sp::copy_args a{dst.v, src.v, 4, 5, 9, 2, 10, 3, false};
      b->copy(a);
      for (std::size_t o = 0; o < 4; ++o)
        for (std::size_t j = 0; j < 5; ++j) to[o * 9 + 2 + j] = from[o * 10 + 3 + j];
      CHECK(dst.values() == to);
      a.rows = 0;
      b->copy(a);
      CHECK(dst.values() == to);
      if (t != dtype::f32 && t != dtype::f64) continue;
      a.rows = 4, a.accumulate = true;
      b->copy(a);
      for (std::size_t o = 0; o < 4; ++o)
        for (std::size_t j = 0; j < 5; ++j) to[o * 9 + 2 + j] *= 2;
      CHECK(dst.values() == to);
    }
}

TEST_CASE("place puts rows where the device says, and none outside", "[conformance]") {
  for (sp::backend* b : devices())
    for (const dtype t : {dtype::f32, dtype::f64, dtype::bf16, dtype::u8})
      for (const long first : {0l, 3l, 5l, 6l, -1l, 100l}) {
        CAPTURE(sp::name_of(t), first);
        numbers to(2 * 6 * 3, 9.0), from(2 * 2 * 3);
        for (std::size_t i = 0; i < from.size(); ++i) from[i] = double(i);
        const on_device dst(*b, t, {2, 6, 3}, to), src(*b, t, {2, 2, 3}, from), at(*b, dtype::i64, {1}, {double(first)});
        b->place({dst.v, src.v, at.v, 2, 6, 2, 3});
        for (long o = 0; o < 2; ++o)
          for (long r = 0; r < 2; ++r)
            for (long j = 0; j < 3; ++j)
              if (first + r >= 0 && first + r < 6) to[std::size_t((o * 6 + first + r) * 3 + j)] = from[std::size_t((o * 2 + r) * 3 + j)];
        CHECK(dst.values() == to);
        b->place({dst.v, src.v, at.v, 2, 6, 0, 3});
        b->place({dst.v, src.v, at.v, 0, 6, 2, 3});
        CHECK(dst.values() == to);
      }
}

namespace {
void check_matmul(sp::backend& device, dtype t, dtype u, long m, long n, long k) {
  for (int flags = 0; flags < 8; ++flags) {
    const bool ta = flags & 1, tb = flags & 2, adds = flags & 4;
    CAPTURE(sp::name_of(t), sp::name_of(u), m, n, k, ta, tb, adds);
    const on_device a(device, t, ta ? sp::shape{k, m} : sp::shape{m, k}, noise(m * k, 1)), b(device, u, tb ? sp::shape{n, k} : sp::shape{k, n}, noise(n * k, 2));
    const on_device c(device, t, {m, n}, noise(m * n, 3));
    const numbers p = a.values(), q = b.values();
    numbers expected = c.values();
    for (long i = 0; i < m; ++i)
      for (long j = 0; j < n; ++j) {
        double s = adds ? expected[std::size_t(i * n + j)] : 0;
        for (long l = 0; l < k; ++l) s += p[std::size_t(ta ? l * m + i : i * k + l)] * q[std::size_t(tb ? j * k + l : l * n + j)];
        expected[std::size_t(i * n + j)] = s;
      }
    device.matmul({a.v, b.v, c.v, m, n, k, ta, tb, adds});
    CHECK(off(c.values(), expected) < tolerance(t) * (1 + double(k) / 256));
  }
}
}  // namespace

TEST_CASE("matmul is right for every orientation, extent and weight type", "[conformance]") {
  for (sp::backend* b : devices()) {
    for (const long m : {0l, 1l, 2l, 3l, 5l, 8l, 11l, 13l, 17l, 50l})
      for (const long n : {0l, 1l, 2l, 7l, 16l, 49l})
        for (const long k : {0l, 1l, 16l, 37l}) {
          check_matmul(*b, dtype::f32, dtype::f32, m, n, k);
          check_matmul(*b, dtype::f64, dtype::f64, m, n, k);
        }
    for (const long m : {1l, 4l, 7l, 20l})
      for (const dtype u : {dtype::bf16, dtype::f16}) check_matmul(*b, dtype::f32, u, m, 35, 67);
  }
}

TEST_CASE("matmul is right where it is cut into blocks", "[conformance]") {
  for (sp::backend* b : devices()) {
    check_matmul(*b, dtype::f32, dtype::f32, 8, 30, 2100);
    check_matmul(*b, dtype::f32, dtype::bf16, 3, 50, 2500);
    check_matmul(*b, dtype::f32, dtype::f32, 40, 200, 1100);
    check_matmul(*b, dtype::f32, dtype::bf16, 40, 110, 1030);
    check_matmul(*b, dtype::f32, dtype::f32, 20, 800, 9);
    check_matmul(*b, dtype::f32, dtype::f32, 200, 21, 64);
  }
}

TEST_CASE("a row of a product does not depend on where its operands lie, nor on the other columns", "[conformance]") {
  for (sp::backend* b : devices()) {
    const long m = 5, n = 40, k = 83;
    const numbers x = noise(m * k, 1), w = noise(n * k, 2);
    const on_device a(*b, dtype::f32, {m, k}, x), c(*b, dtype::f32, {m, n});
    for (const long rows : {1l, m}) {
      const on_device whole(*b, dtype::f32, {n, k}, w);
      b->matmul({a.v, whole.v, c.v, rows, n, k, false, true, false});
      const numbers all = c.values();
      for (const long shift : {1l, 3l, 7l}) {
        const long first = 11, count = 17;
        numbers moved(static_cast<std::size_t>(shift));
        moved.insert(moved.end(), w.begin() + first * k, w.begin() + (first + count) * k);
        const on_device part(*b, dtype::f32, {long(moved.size())}, moved);
        sp::view at = part.v;
        at.p = part.v.as<float>() + shift;
        at.s = {count, k};
        b->matmul({a.v, at, c.v, rows, count, k, false, true, false});
        const numbers some = c.values();
        bool equal = true;
        for (long i = 0; i < rows; ++i)
          for (long j = 0; j < count; ++j) equal = equal && some[std::size_t(i * count + j)] == all[std::size_t(i * n + first + j)];
        CHECK(equal);
      }
    }
  }
}
