// Extents: of one tensor, and of the dynamic dimensions of a model.
#include <shardproof/core/extents.hpp>
namespace sp = shardproof;

struct batch : sp::dim<> {};
struct seq : sp::dim<> {};
struct hidden : sp::dim<4096> {};
struct ffn : sp::dim<> {};
struct heads : sp::dim<8> {};
using gate_up = sp::fused<ffn, ffn>;
using keys = sp::as<struct keys_tag, seq>;
using sizes = sp::sizes_of<sp::dims<batch, seq, hidden>>;

// sizes_of: static extents are filled in, dynamic ones are not known
static_assert(sizes{}.n[0] == sp::dynamic);
static_assert(sizes{}.n[1] == sp::dynamic);
static_assert(sizes{}.n[2] == 4096);
static_assert(sizes{2, 5, 4096}.n[0] == 2);
static_assert(sizes{2, 5, 4096}.n[1] == 5);
static_assert(sizes{2, 5, 4096}.n[2] == 4096);
static_assert(sizes::rank == 3);
static_assert(sp::sizes_of<sp::dims<>>::rank == 0);
// count
static_assert(sizes{2, 5, 4096}.count() == 40960);
static_assert(sizes{2, 0, 4096}.count() == 0);
static_assert(sp::sizes_of<sp::dims<>>{}.count() == 1);
static_assert(sp::sizes_of<sp::dims<heads, hidden>>{}.count() == 32768);
// by dimension
static_assert(sizes{2, 5, 4096}.extent<seq>() == 5);
static_assert(sizes{2, 5, 4096}.extent<hidden>() == 4096);
static_assert(sizes::index_of<batch>() == 0);
static_assert(sizes::index_of<hidden>() == 2);
static_assert(sizes::index_of<ffn>() == -1);
// comparison
static_assert(sizes{2, 5, 4096} == sizes{2, 5, 4096});
static_assert(!(sizes{2, 5, 4096} == sizes{2, 6, 4096}));

// a model's table
constexpr sp::extent_table known = [] { sp::extent_table t; t.set<ffn>(24).set<seq>(7); return t; }();
static_assert(known.count == 2);
static_assert(known.find(&sp::info<ffn>) == 24);
static_assert(known.find(&sp::info<seq>) == 7);
static_assert(known.find(&sp::info<batch>) == sp::dynamic);
// setting again replaces
constexpr sp::extent_table again = [] { sp::extent_table t = known; t.set<ffn>(32); return t; }();
static_assert(again.count == 2);
static_assert(again.find(&sp::info<ffn>) == 32);
static_assert(again.find(&sp::info<seq>) == 7);
// equality is of contents, not of order
constexpr sp::extent_table reversed = [] { sp::extent_table t; t.set<seq>(7).set<ffn>(24); return t; }();
static_assert(known == reversed);
static_assert(!(known == again));
static_assert(!(known == sp::extent_table{}));

// the extent of a dimension: its constant, the table's, or the sum of its parts
static_assert(sp::extent_of(&sp::info<hidden>, nullptr) == 4096);
static_assert(sp::extent_of(&sp::info<hidden>, &known) == 4096);
static_assert(sp::extent_of(&sp::info<ffn>, &known) == 24);
static_assert(sp::extent_of(&sp::info<ffn>, nullptr) == sp::dynamic);
static_assert(sp::extent_of(&sp::info<batch>, &known) == sp::dynamic);
static_assert(sp::extent_of(&sp::info<gate_up>, &known) == 48);
static_assert(sp::extent_of(&sp::info<gate_up>, nullptr) == sp::dynamic);
static_assert(sp::extent_of(&sp::info<sp::fused<ffn, batch>>, &known) == sp::dynamic);
// a role and a new name do not change it
static_assert(sp::extent_of(&sp::info<sp::out<ffn>>, &known) == 24);
static_assert(sp::extent_of(&sp::info<sp::in<gate_up>>, &known) == 48);
static_assert(sp::extent_of(&sp::info<keys>, &known) == 7);
static_assert(sp::extent_of(&sp::info<sp::out<keys>>, &known) == 7);

// a tensor's extents from a table
constexpr sp::sizes_of<sp::dims<heads, ffn, keys>> from_table{&known};
static_assert(from_table.n[0] == 8);
static_assert(from_table.n[1] == 24);
static_assert(from_table.n[2] == 7);
static_assert(from_table.table == &known);
// copying shared dimensions, roles aside
constexpr auto copied = [] {
  sp::sizes_of<sp::dims<sp::out<hidden>, seq>> to;
  sp::copy_sizes(to, sizes{2, 5, 4096});
  return to;
}();
static_assert(copied.n[0] == 4096);
static_assert(copied.n[1] == 5);
static_assert(copied.table == nullptr);
constexpr auto copied_table = [] {
  sp::sizes_of<sp::dims<heads, hidden>> to;
  sp::copy_sizes(to, from_table);
  return to;
}();
static_assert(copied_table.n[0] == 8);
static_assert(copied_table.n[1] == 4096);
static_assert(copied_table.table == &known);

// without their type
constexpr sizes whole{2, 5, 4096};
static_assert(sp::extents(whole).rank == 3);
static_assert(sp::extents(whole).count() == 40960);
static_assert(sp::extents(whole).d[1] == &sp::info<seq>);
static_assert(sp::extents(whole).n[1] == 5);
