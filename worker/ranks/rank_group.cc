#include "worker/ranks/rank_group.h"

// The wheel's headers hide Gloo without them.
#define USE_DISTRIBUTED
#define USE_C10D_GLOO
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <csignal>
#include <exception>
#include <optional>
#include <string_view>

#include "absl/time/clock.h"
#include "common/check.h"
#include "common/status_macros.h"
#include "worker/ranks/addresses.h"

namespace atelier::ranks {
namespace {

// How long a rank that failed waits to hear from the others whether they are there and why one
// left.
constexpr absl::Duration kRollCall = absl::Seconds(3);
constexpr absl::Duration kHearing = absl::Milliseconds(100);

std::chrono::milliseconds Milliseconds(absl::Duration duration) {
  return std::chrono::milliseconds(std::max<std::int64_t>(1, absl::ToInt64Milliseconds(duration)));
}

std::vector<std::uint8_t> Bytes(std::string_view text) { return {text.begin(), text.end()}; }

std::string Key(const char* kind, int rank) {
  return std::string(kind) + "/" + std::to_string(rank);
}

std::string Names(const std::vector<int>& ranks) {
  std::string names = ranks.size() == 1 ? "rank " : "ranks ";
  for (std::size_t i = 0; i < ranks.size(); ++i) {
    names += (i == 0 ? "" : ", ") + std::to_string(ranks[i]);
  }
  return names;
}

// The error with which a rank leaves, as the others find it: its code, a blank, its sentence.
std::string ToText(const absl::Status& why) {
  return std::to_string(why.raw_code()) + " " + std::string(why.message());
}

absl::Status EndOfRank(int rank, std::string_view text) {
  int code = 0;
  std::from_chars(text.data(), text.data() + text.size(), code);
  return {code == 0 ? absl::StatusCode::kUnknown : static_cast<absl::StatusCode>(code),
          Names({rank}) + " ended: " + std::string(text.substr(text.find(' ') + 1))};
}

// Gloo writes into its sockets with writev(2), so that a lost rank would end this process by a
// signal where an error is wanted. A handler that the program has chosen stays.
void IgnoreBrokenPipes() {
  const auto before = std::signal(SIGPIPE, SIG_IGN);
  if (before != SIG_DFL && before != SIG_ERR) {
    std::signal(SIGPIPE, before);
  }
}

}  // namespace

struct RankGroup::State {
  Options options;
  c10::intrusive_ptr<c10d::Store> store;
  c10::intrusive_ptr<c10d::ProcessGroupGloo> gloo;
  absl::Status status;
  int compared = 0;  // calls of ExpectEqual

  bool hosts() const { return options.rank == 0 && !options.hosted_elsewhere; }
  std::string Place() const { return options.host + ", port " + std::to_string(options.port); }

  absl::Status OpenStore(const std::string& address);
  // Until all have come as far as `kind` says.
  absl::Status AwaitAll(const char* kind) const;
  absl::Status OpenGloo(const std::string& address);
  // What the others have set by `deadline` under a kind of key, by rank; nothing for those that
  // have not. Throws when the store is gone.
  std::vector<std::optional<std::string>> AnswersOf(const char* kind, absl::Time deadline) const;
  // Keeps the first failure, with what is found out about it.
  void Fail();
  absl::Status Diagnose() const;

  template <typename Start>
  std::function<void()> Run(const Start& start);
};

absl::Status RankGroup::State::OpenStore(const std::string& address) {
  c10d::TCPStoreOptions open;
  open.isServer = hosts();
  open.numWorkers = options.size;
  open.waitWorkers = false;
  open.timeout = Milliseconds(options.join_timeout);
  if (hosts()) {
    ATELIER_ASSIGN_OR_RETURN(const Listener listener, ListenAt(address, options.port));
    options.port = listener.port;
    open.masterListenFd = listener.socket;  // the store closes it
  }
  open.port = static_cast<std::uint16_t>(options.port);
  if (hosts() && options.on_listening) {
    options.on_listening(options.port);
  }
  try {
    auto tcp = c10::make_intrusive<c10d::TCPStore>(address, open);
    store = c10::make_intrusive<c10d::PrefixStore>(options.name, std::move(tcp));
  } catch (const std::exception&) {
    return absl::UnavailableError("rank 0 cannot be reached at " + Place() + " within " +
                                  absl::FormatDuration(options.join_timeout));
  }
  return absl::OkStatus();
}

std::vector<std::optional<std::string>> RankGroup::State::AnswersOf(const char* kind,
                                                                    absl::Time deadline) const {
  std::vector<std::optional<std::string>> answers(static_cast<std::size_t>(options.size));
  for (int rank = 0; rank < options.size; ++rank) {
    const std::string key = Key(kind, rank);
    try {
      // Those that have answered are heard after the deadline, too.
      store->wait({key}, Milliseconds(std::max(deadline - absl::Now(), kHearing)));
    } catch (const c10::DistNetworkError&) {
      throw;
    } catch (const std::exception&) {
      continue;  // not in time
    }
    const std::vector<std::uint8_t> value = store->get(key);
    answers[static_cast<std::size_t>(rank)] = std::string(value.begin(), value.end());
  }
  return answers;
}

absl::Status RankGroup::State::AwaitAll(const char* kind) const {
  std::vector<int> missing;
  try {
    store->set(Key(kind, options.rank), Bytes("1"));
    const auto answers = AnswersOf(kind, absl::Now() + options.join_timeout);
    for (int rank = 0; rank < options.size; ++rank) {
      if (!answers[static_cast<std::size_t>(rank)].has_value()) {
        missing.push_back(rank);
      }
    }
  } catch (const std::exception&) {
    return absl::UnavailableError("rank 0 was lost at " + Place() + " before all ranks were there");
  }
  return missing.empty()
             ? absl::OkStatus()
             : absl::UnavailableError(Names(missing) + " of " + std::to_string(options.size) +
                                      " did not come to " + Place() + " within " +
                                      absl::FormatDuration(options.join_timeout));
}

absl::Status RankGroup::State::OpenGloo(const std::string& address) {
  using Gloo = c10d::ProcessGroupGloo;
  std::string local;
  if (options.interface.empty()) {
    ATELIER_ASSIGN_OR_RETURN(local, LocalAddressTowards(address));
  }
  auto open = Gloo::Options::create(Milliseconds(options.timeout));
  try {
    open->devices.push_back(options.interface.empty()
                                ? Gloo::createDeviceForHostname(local)
                                : Gloo::createDeviceForInterface(options.interface));
  } catch (const std::exception&) {
    return absl::InvalidArgumentError(
        options.interface.empty()
            ? "the address " + local + " cannot be used for the ranks' data"
            : "there is no network interface " + options.interface + " (GLOO_SOCKET_IFNAME)");
  }
  try {
    gloo = c10::make_intrusive<Gloo>(store, options.rank, options.size, open);
  } catch (const std::exception&) {
    return absl::UnavailableError("the ranks met at " + Place() +
                                  " but cannot reach each other: is a firewall between them?");
  }
  return absl::OkStatus();
}

absl::Status RankGroup::State::Diagnose() const {
  try {
    store->set(Key("end", options.rank), Bytes(""));
    const auto answers = AnswersOf("end", absl::Now() + kRollCall);
    std::vector<int> silent;
    for (int rank = 0; rank < options.size; ++rank) {
      const auto& answer = answers[static_cast<std::size_t>(rank)];
      if (!answer.has_value()) {
        silent.push_back(rank);
      } else if (!answer->empty()) {
        return EndOfRank(rank, *answer);
      }
    }
    return absl::UnavailableError(silent.empty() ? "the connection between the ranks broke"
                                                 : Names(silent) + " of " +
                                                       std::to_string(options.size) + " was lost");
  } catch (const std::exception&) {
    return absl::UnavailableError(options.hosted_elsewhere
                                      ? "another rank and the place where they met were lost"
                                      : Names({0}) + " of " + std::to_string(options.size) +
                                            " was lost");
  }
}

void RankGroup::State::Fail() {
  if (status.ok()) {
    status = Diagnose();
  }
}

// `start` begins a collective; what is returned waits for it.
template <typename Start>
std::function<void()> RankGroup::State::Run(const Start& start) {
  if (!status.ok()) {
    return [] {};
  }
  try {
    c10::intrusive_ptr<c10d::Work> work = start();
    return [this, work] {
      try {
        if (status.ok()) {
          work->wait();
        }
      } catch (const std::exception&) {
        Fail();
      }
    };
  } catch (const std::exception&) {
    Fail();
  }
  return [] {};
}

absl::StatusOr<std::unique_ptr<RankGroup>> RankGroup::Join(const Options& options) {
  ATELIER_CHECK(options.size >= 1 && options.rank >= 0 && options.rank < options.size);
  IgnoreBrokenPipes();
  auto state = std::make_unique<State>();
  state->options = options;
  ATELIER_ASSIGN_OR_RETURN(const std::string address, NumericAddress(options.host));
  ATELIER_RETURN_IF_ERROR(state->OpenStore(address));
  ATELIER_RETURN_IF_ERROR(state->AwaitAll("here"));
  ATELIER_RETURN_IF_ERROR(state->OpenGloo(address));
  // One that left at once would take the others' connections with it while they still make them.
  ATELIER_RETURN_IF_ERROR(state->AwaitAll("connected"));
  return std::unique_ptr<RankGroup>(new RankGroup(std::move(state)));
}

RankGroup::RankGroup(std::unique_ptr<State> state) : state_(std::move(state)) {}

RankGroup::~RankGroup() {
  state_->gloo.reset();  // it uses the store
}

int RankGroup::rank() const { return state_->options.rank; }
int RankGroup::size() const { return state_->options.size; }
const absl::Status& RankGroup::status() const { return state_->status; }

std::function<void()> RankGroup::StartSum(const torch::Tensor& tensor) {
  ATELIER_CHECK(tensor.is_contiguous());
  // Gloo knows host memory only.
  const torch::Tensor host = tensor.cpu();
  std::function<void()> wait = state_->Run([&] {
    std::vector<torch::Tensor> tensors = {host};
    return state_->gloo->allreduce(tensors);
  });
  if (host.is_same(tensor)) {
    return wait;
  }
  return [wait = std::move(wait), tensor, host] {
    wait();
    const torch::NoGradGuard no_grad;
    tensor.copy_(host);
  };
}

void RankGroup::Sum(const torch::Tensor& tensor) { StartSum(tensor)(); }

void RankGroup::Broadcast(const torch::Tensor& tensor) {
  ATELIER_CHECK(tensor.is_contiguous());
  const torch::Tensor host = tensor.cpu();
  state_->Run([&] {
    std::vector<torch::Tensor> tensors = {host};
    return state_->gloo->broadcast(tensors);
  })();
  if (!host.is_same(tensor)) {
    tensor.copy_(host);
  }
}

torch::Tensor RankGroup::Gather(const torch::Tensor& tensor) {
  const torch::Tensor mine = tensor.detach().cpu().contiguous();
  std::vector<std::int64_t> shape = {size()};
  shape.insert(shape.end(), mine.sizes().begin(), mine.sizes().end());
  torch::Tensor all = torch::zeros(shape, mine.options());
  all[rank()].copy_(mine);
  std::vector<std::vector<torch::Tensor>> outputs(1);
  for (int from = 0; from < size(); ++from) {
    outputs.front().push_back(all[from]);
  }
  state_->Run([&] {
    std::vector<torch::Tensor> inputs = {mine};
    return state_->gloo->allgather(outputs, inputs);
  })();
  return all.to(tensor.device());
}

absl::Status RankGroup::Barrier() {
  state_->Run([&] { return state_->gloo->barrier(); })();
  return state_->status;
}

absl::Status RankGroup::ExpectEqual(const std::vector<std::pair<std::string, std::string>>& facts) {
  // The store does not tell of a rank that has ended, and would be waited for.
  if (const absl::Status all = Barrier(); !all.ok()) {
    return all;
  }
  const std::string kind = "fact/" + std::to_string(state_->compared++);
  for (std::size_t i = 0; i < facts.size(); ++i) {
    const auto& [what, mine] = facts[i];
    const std::string key = kind + "/" + std::to_string(i);
    try {
      state_->store->set(Key(key.c_str(), rank()), Bytes(mine));
      const auto all = state_->AnswersOf(key.c_str(), absl::Now() + state_->options.join_timeout);
      for (int other = 0; other < size(); ++other) {
        const auto& value = all[static_cast<std::size_t>(other)];
        if (!value.has_value()) {
          state_->Fail();
          return state_->status;
        }
        if (*value != *all.front()) {
          return absl::InvalidArgumentError(what + " differs between rank 0 (" + *all.front() +
                                            ") and rank " + std::to_string(other) + " (" + *value +
                                            "); all ranks must be given the same job");
        }
      }
    } catch (const std::exception&) {
      state_->Fail();
      return state_->status;
    }
  }
  return absl::OkStatus();
}

void RankGroup::Leave(const absl::Status& why) {
  // Those whom another rank has brought down have told what they know.
  const bool first = state_->status.ok();
  try {
    if (first) {
      state_->store->set(Key("end", rank()), Bytes(ToText(why)));
      state_->status = absl::UnavailableError("this rank has left");
    }
    state_->gloo.reset();  // the others notice
    // With two ranks a loss leaves nobody who would ask.
    if (state_->hosts() && (first || size() > 2)) {
      // The others read it from this process.
      state_->AnswersOf("end", absl::Now() + kRollCall);
    }
  } catch (const std::exception&) {
    state_->gloo.reset();  // nobody is left to be told; the data's connections go all the same
  }
}

}  // namespace atelier::ranks
