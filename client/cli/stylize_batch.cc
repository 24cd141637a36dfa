#include "client/cli/stylize_batch.h"

#include <algorithm>
#include <atomic>
#include <string>
#include <thread>
#include <utility>

#include "absl/synchronization/mutex.h"
#include "client/cli/patient_call.h"
#include "common/errors.h"
#include "common/files.h"
#include "common/image_header.h"

namespace atelier::cli {
namespace {

constexpr std::size_t kAtATime = 4;

absl::StatusOr<std::string> ReadPicture(const std::filesystem::path& path) {
  absl::StatusOr<std::string> bytes = ReadFile(path, kMaxImageBytes);
  if (absl::IsResourceExhausted(bytes.status())) {
    return InvalidField("image", "the file is larger than 32 MiB, the most a picture may have");
  }
  return bytes;
}

}  // namespace

std::vector<StylizeOutcome> StylizeBatch::Run(const std::vector<Picture>& pictures,
                                              const OnDone& on_done) const {
  std::vector<StylizeOutcome> outcomes(pictures.size());
  std::atomic<std::size_t> next{0};
  absl::Mutex telling;
  const auto work = [&] {
    for (std::size_t i = next++; i < pictures.size(); i = next++) {
      outcomes[i] = RunOne(pictures[i]);
      const absl::MutexLock lock(&telling);
      on_done(i, outcomes[i]);
    }
  };
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < std::min(kAtATime, pictures.size()); ++i) {
    threads.emplace_back(work);
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  return outcomes;
}

StylizeOutcome StylizeBatch::RunOne(const Picture& picture) const {
  StylizeOutcome outcome;
  absl::StatusOr<std::string> bytes = ReadPicture(picture.input);
  if (!bytes.ok()) {
    outcome.status = bytes.status();
    return outcome;
  }
  v1::StylizeRequest request = controls_;
  request.set_image(*std::move(bytes));
  if (picture.format.has_value()) {
    request.set_format(*picture.format);
  }
  absl::StatusOr<v1::StylizeResponse> response = CallPatiently<v1::StylizeResponse>(
      deadline_, [&](absl::Duration left) { return client_.Stylize(request, left); });
  if (!response.ok()) {
    outcome.status = response.status();
    return outcome;
  }
  outcome.response = *std::move(response);
  const int count = outcome.response.results_size();
  for (int i = 0; i < count && outcome.status.ok(); ++i) {
    v1::StylizedImage& result = *outcome.response.mutable_results(i);
    const std::filesystem::path path = ResultPath(picture, result.format(), i, count);
    outcome.status = WriteFileAtomically(path, result.image());
    result.clear_image();
    outcome.files.push_back(path);
  }
  return outcome;
}

}  // namespace atelier::cli
