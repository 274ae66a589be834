/// @file
/// Opens checkpoint folders; every refusal happens before the ranks start.
#include "session.hpp"
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <unistd.h>

namespace cli {

namespace {
constexpr const char *table_name = "model.embed_tokens.weight", *head_name = "lm_head.weight";

sp::dtype type_named(const std::string& name) {
  if (name == "f32") return sp::dtype::f32;
  if (name == "f64") return sp::dtype::f64;
  if (name == "bf16") return sp::dtype::bf16;
  throw sp::error(sp::code::unsupported_value, "--dtype " + name + " is not supported.", "use auto, f32, f64 or bf16.");
}
}  // namespace

session::session(const common_options& o, std::string where, weights read) : options(o), folder(std::move(where)) {
  if (o.tp < 1)
    throw sp::error(sp::code::usage, "--tp " + std::to_string(o.tp) + " is no number of ranks.", "pass --tp of at least 1.");
  if (o.dp < 1)
    throw sp::error(sp::code::usage, "--dp " + std::to_string(o.dp) + " is no number of ranks.", "pass --dp of at least 1.");
  if (o.timeout && !(*o.timeout > 0)) throw sp::error(sp::code::usage, "--timeout must be positive.", "pass a number of seconds.");
  if (o.device != "cpu" && o.device != "cuda")
    throw sp::error(sp::code::unsupported_value, "--device " + o.device + " is not known.", "use cpu or cuda.");
  if (o.device == "cuda") {
    device = sp::device_kind::cuda;
    if (!sp::detail::registered_backends[int(device)])
      throw sp::error(sp::code::no_device, "no such device: this program is built without a CUDA backend.", "use --device cpu, or build it with -DSHARDPROOF_CUDA=ON where nvcc is.");
    sp::backend_of(device).require();
  }
  if (o.engine_of_experts != "all_to_all" && o.engine_of_experts != "masked")
    throw sp::error(sp::code::unsupported_value, "--ep-engine " + o.engine_of_experts + " is not known.", "use all_to_all or masked.");
  sharing = {.tp = o.tp, .sequence_parallel = o.sequence_parallel, .data_parallel = o.dp > 1};
  if (o.experts) sharing.experts = o.engine_of_experts == "masked" ? sp::expert_parallel::masked : sp::expert_parallel::all_to_all;
  if (o.type != "auto") type = type_named(o.type);
  const std::string path = folder + "/config.json";
  config_text = sp::io::read_text(path);
  config = sp::read_configuration(config_text, o.allowed_keys, path);
  if (o.plan == "auto") choice = sp::plan_choice::automatic;
  else if (o.plan == "none") choice = sp::plan_choice::none;
  else if (o.plan == "hf") choice = sp::plan_choice::published;
  else {
    choice = sp::plan_choice::run_time;
    plan_text = sp::io::read_text(o.plan);
    // A document of `explain --json` holds the plan itself. Faults of JSON name the file and the line.
    const sp::io::json_tree tree = sp::io::parse_json(plan_text, o.plan, sp::code::malformed_plan);
    if (const auto* inner = tree.find("plan"); inner && inner->is_object()) plan_text = inner->pretty();
  }
  add_end_tokens(path);
  if (const std::string generation = folder + "/generation_config.json"; ::access(generation.c_str(), R_OK) == 0)
    add_end_tokens(generation);
  if (read == weights::opened) {
    files.emplace(folder);
    meet_tied_tables();
  }
  // The plan is bound once before any rank starts: a refusal is one line, and notes are printed once.
  struct restore {
    int ranks = sp::self.where.ranks[0];
    ~restore() { sp::self.where.ranks[0] = ranks; }
  } back;
  sp::self.where.ranks[0] = o.tp;
  for (auto& n : model()->notes()) notes.push_back(std::move(n));
}

void session::say(const std::vector<std::string>& more) const {
  if (!sp::first_rank()) return;
  for (const auto* all : {&notes, &more})
    for (const auto& n : *all) std::fprintf(stderr, "note: %s\n", n.c_str());
}

void session::add_end_tokens(const std::string& path) {
  const auto tree = sp::io::read_json(path);
  const auto* eos = tree.find("eos_token_id");
  if (!eos) return;
  if (const auto one = eos->as_int()) end_tokens.push_back(*one);
  if (eos->is_array())
    for (std::size_t i = 0; i < eos->size(); ++i)
      if (const auto n = (*eos)[i].as_int()) end_tokens.push_back(*n);
}

std::unique_ptr<sp::causal_lm> session::model() const { return sp::make_causal_lm(config, choice, plan_text, sharing); }

/// As transformers loads tied checkpoints: two tables that differ stay two, and the head's alone serves as both.
void session::meet_tied_tables() {
  const auto *table = files->find(table_name), *head = files->find(head_name);
  if (!config.tie_word_embeddings || !head) return;
  if (!table) {
    head_is_table = true;
    return;
  }
  for (const auto* t : {table, head}) t->file->ready(*t->tensor);
  if (table->tensor->type == head->tensor->type && table->bytes() == head->bytes()) return;
  config.tie_word_embeddings = false;
  notes.push_back(std::string("tie_word_embeddings is true, but ") + head_name + " differs from " + table_name +
                  ": they are not tied");
}

void session::load(const std::vector<sp::parameter_view>& all, std::optional<sp::dtype> as) const {
  std::vector<sp::parameter_view> wanted = all;
  std::string missing;
  std::size_t more = 0;
  for (auto& v : wanted) {
    if (head_is_table && v.name == table_name) v.name = head_name;
    for (const auto& name : sp::io::names_of(v))
      if (!files->find(name)) ++more, missing = missing.empty() ? name : missing;
  }
  if (more)
    throw sp::error(sp::code::missing_tensor,
                    "tensor " + missing + (more > 1 ? " and " + std::to_string(more - 1) + " more are" : " is") +
                        " missing from " + sp::io::shown(folder, 400) + ".",
                    "complete the checkpoint, or correct its config.json, which asks for that.");
  const sp::io::load_report report = sp::io::load_weights(wanted, *files, {.type = as});
  std::vector<std::string> unused;
  for (const auto& name : report.unused)  // tables that older files carry along; a copy of the tied one
    if (!name.ends_with("rotary_emb.inv_freq") && !(config.tie_word_embeddings && name == head_name)) unused.push_back(name);
  if (unused.empty()) return say();
  std::string some;
  for (std::size_t i = 0; i < unused.size() && i < 4; ++i) some += (i ? ", " : "") + sp::io::shown(unused[i]);
  say({"the model has no place for " + std::to_string(unused.size()) + " of the checkpoint's tensors: " + some +
       (unused.size() > 4 ? ", ..." : "")});
}

std::unique_ptr<sp::causal_lm> session::loaded() const {
  auto lm = model();
  load(lm->parameters(), type);
  return lm;
}

void session::want_memory(int copies) const {
  double bytes = 0;
  const auto lm = model();  // views point into it
  const bool alone = !ranks_are_threads();  // and none of the others uses this device
  for (const auto& v : lm->parameters())
    for (int r = 0; r < options.tp; ++r)
      if (!alone || r == sp::rank_on())
        bytes += (alone ? 1 : options.dp) * copies * double(v.local_bytes(sp::spot{{r, 0, 0}, {options.tp, 1, 1}}, type.value_or(config.stored)));
  const bool cpu = device == sp::device_kind::cpu;
  const double there = cpu ? double(::sysconf(_SC_PHYS_PAGES)) * double(::sysconf(_SC_PAGESIZE)) : sp::backend_of(device).available_bytes();
  if (bytes <= there) return;
  char needs[160];
  std::snprintf(needs, sizeof needs, "the model needs %.1f GiB of memory, and %s %.1f.", bytes / 0x1p30,
                cpu ? "this machine has" : "on device cuda there are", there / 0x1p30);
  throw sp::error(cpu ? sp::code::usage : sp::code::device_failed, needs, "use a smaller model, or a machine with more memory.");
}

bool session::captures(sp::causal_lm& lm) const {
  return sp::backend_of(device).captures() && !sp::dry_check(lm, sp::ranks{options.tp}, sp::tokens{options.dp, options.tp}, {.training = false}).waits;
}

std::vector<std::string> session::read_files() const {
  std::vector<std::string> out{folder + "/config.json", folder + "/generation_config.json",
                               folder + "/model.safetensors.index.json"};
  if (files)
    for (const auto& f : files->files()) out.push_back(f.path());
  if (choice == sp::plan_choice::run_time) out.push_back(options.plan);
  return out;
}

void refuse_overwriting(const char* option, const std::string& path, const std::vector<std::string>& read) {
  std::error_code none;
  const auto real = [&](const std::string& p) { return std::filesystem::weakly_canonical(std::filesystem::absolute(p, none), none); };
  for (const auto& r : read)
    if (std::filesystem::equivalent(path, r, none) || real(path) == real(r))
      throw sp::error(sp::code::usage,
                      std::string(option) + " " + sp::io::shown(path, 400) + " would replace a file of this request (" +
                          sp::io::shown(r, 400) + ").",
                      "name another file.");
}

void session::run(const std::function<void()>& body) const {
  if (!ranks_are_threads()) return body();  // on_ranks has made this process one of them
  sp::run_options how{.mesh = {.tp = options.tp, .dp = options.dp}, .device = device};
  if (options.timeout) how.timeout_seconds = *options.timeout;
  sp::run(how, body);
}

rank_stats stats_of(sp::causal_lm& lm, const sp::ledger& book) {
  rank_stats s;
  for (const auto& p : lm.parameters()) {
    s.weight_bytes += double((*p.at)->v().bytes());
    s.predicted_weight_bytes += double(p.local_bytes(sp::self.where, (*p.at)->type));
  }
  s.peak_bytes = sp::device().peak_bytes();
  s.flops_forward = book.forward.flops;
  s.flops_backward = book.backward.flops;
  s.book = book;
  for (const auto* axis : sp::self.on)
    if (axis) s.traffic += axis->counters();
  return s;
}

std::vector<rank_stats> stats_of_all(const rank_stats& mine) {
  static_assert(std::is_trivially_copyable_v<rank_stats>);
  if (!sp::self.world) return {mine};
  const long ranks = sp::self.world->size(), bytes = long(sizeof mine);
  const sp::ref part = sp::leaf(sp::dtype::i8, {bytes}), whole = sp::leaf(sp::dtype::i8, {ranks, bytes});
  sp::device().from_host(part->v(), &mine);
  sp::self.world->all_gather(part->data.get(), whole->data.get(), std::vector<long>(std::size_t(ranks), bytes), sp::dtype::i8);
  std::vector<rank_stats> all(static_cast<std::size_t>(ranks));
  sp::device().to_host(all.data(), whole->v());
  return all;
}

sp::io::json_tree stats_tree(const std::vector<rank_stats>& all) {
  using tree = sp::io::json_tree;
  auto list = tree::array();
  for (std::size_t r = 0; r < all.size(); ++r) {
    const rank_stats& s = all[r];
    auto one = tree::object();
    one.set("rank", long(r));
    one.set("weight_bytes", long(s.weight_bytes));
    one.set("predicted_weight_bytes", long(s.predicted_weight_bytes));
    one.set("peak_bytes", long(s.peak_bytes));
    one.set("activation_bytes", long(s.book.activation_bytes));
    one.set("flop_forward", s.flops_forward);
    one.set("flop_backward", s.flops_backward);
    auto calls = tree::object();
    for (int c = 0; c < 6; ++c) {
      if (!s.traffic.calls[c]) continue;
      auto k = tree::object();
      k.set("calls", s.traffic.calls[c]);
      k.set("bytes", long(s.traffic.bytes[c]));
      calls.set(sp::name_of(sp::collective(c)), std::move(k));
    }
    one.set("collectives", std::move(calls));
    auto predicted = tree::object();
    predicted.set("forward", s.book.forward.collectives());
    predicted.set("backward", s.book.backward.collectives());
    predicted.set("forward_bytes", long(s.book.forward.bytes));
    predicted.set("backward_bytes", long(s.book.backward.bytes));
    one.set("predicted_collectives", std::move(predicted));
    one.set("collective_seconds", s.traffic.seconds);
    one.set("seconds", s.seconds);
    list.push(std::move(one));
  }
  return list;
}

double seconds_now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

}  // namespace cli
