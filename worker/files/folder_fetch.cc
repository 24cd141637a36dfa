#include "worker/files/folder_fetch.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <memory>
#include <set>
#include <system_error>
#include <thread>
#include <utility>

#include "common/status_macros.h"
#include "worker/files/worker_errors.h"

namespace atelier::worker {
namespace {

namespace fs = std::filesystem;

// How often the folders are listed in all, when files are not as they were listed when they are
// read.
constexpr int kListings = 5;
// The same, when files come damaged: once more in case that they were replaced in their place.
constexpr int kListingsOfDamaged = 2;

// What another try may mend.
bool IsPassing(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status) ||
         absl::IsUnknown(status) || absl::IsInternal(status) || absl::IsAborted(status);
}

absl::Status MakeFolder(const fs::path& path) {
  std::error_code error;
  fs::create_directories(path, error);
  return error ? OnWorker(WriteErrno(error.value(), path)) : absl::OkStatus();
}

absl::Status Ended() { return absl::CancelledError("the fetching was ended"); }

}  // namespace

absl::Status FolderFetch::Run(const std::vector<WantedFolder>& folders) {
  absl::Duration pause = options_.relist_pause;
  absl::Status outcome = RunOnce(folders);
  for (int listing = 1; changed_ && !outcome.ok(); ++listing) {
    if (listing >= (absl::IsDataLoss(outcome) ? kListingsOfDamaged : kListings)) {
      outcome = absl::IsDataLoss(outcome)
                    ? outcome
                    : absl::DataLossError("the files on the server change all the time");
      break;
    }
    spdlog::info("files have changed while they were fetched; they are listed again");
    if (!client_.Pause(pause)) {
      break;
    }
    pause *= 2;
    // What is not listed any more must not be trained on.
    for (const WantedFolder& folder : folders) {
      std::error_code ignored;
      fs::remove_all(folder.target, ignored);
    }
    outcome = RunOnce(folders);
  }
  work_.Reserve(0).IgnoreError();
  return client_.cancelled() ? Ended() : outcome;
}

absl::Status FolderFetch::RunOnce(const std::vector<WantedFolder>& folders) {
  changed_ = false;
  ATELIER_ASSIGN_OR_RETURN(std::vector<Item> items, ListAll(folders));
  ATELIER_ASSIGN_OR_RETURN(const std::vector<Item> missing, TakeFromCache(std::move(items)));
  std::vector<Blob> blobs;
  all_ = {.files = missing.size()};
  for (const Item& item : missing) {
    all_.bytes += item.blob.size;
    blobs.push_back(item.blob);
  }
  {
    absl::MutexLock lock(&mu_);
    here_ = {};
    logged_ = absl::Now();
  }
  if (missing.empty()) {
    return absl::OkStatus();
  }
  ATELIER_RETURN_IF_ERROR(cache_.MakeRoom(work_, blobs));
  spdlog::info("fetching {} files, {} MiB", all_.files, all_.bytes >> 20U);
  ATELIER_RETURN_IF_ERROR(
      InThreads(missing.size(), [&](std::size_t i) { return FetchItem(missing[i]); }));
  spdlog::info("fetched {} files", all_.files);
  return absl::OkStatus();
}

absl::StatusOr<std::vector<FolderFetch::Item>> FolderFetch::ListAll(
    const std::vector<WantedFolder>& folders) {
  std::map<std::string, Item> by_digest;
  std::set<fs::path> made;
  for (const WantedFolder& folder : folders) {
    std::vector<RemoteFile> files;
    ATELIER_RETURN_IF_ERROR(Patiently(
        [&]() -> absl::Status {
          ATELIER_ASSIGN_OR_RETURN(files, client_.List(folder.name));
          return absl::OkStatus();
        },
        [] { return std::uint64_t{0}; }));
    if (folder.choose != nullptr) {
      files = folder.choose(std::move(files));
    }
    ATELIER_RETURN_IF_ERROR(MakeFolder(folder.target));
    for (const RemoteFile& file : files) {
      const fs::path target = folder.target / file.path;
      if (made.insert(target.parent_path()).second) {
        ATELIER_RETURN_IF_ERROR(MakeFolder(target.parent_path()));
      }
      const auto [found, is_new] = by_digest.try_emplace(file.sha256);
      if (is_new) {
        found->second = {.blob = {.sha256 = file.sha256, .size = file.size},
                         .folder = folder.name,
                         .path = file.path};
      } else if (found->second.blob.size != file.size) {
        return absl::DataLossError("the server tells of two sizes of the same contents");
      }
      found->second.targets.push_back(target);
    }
  }
  std::vector<Item> items;
  for (auto& [digest, item] : by_digest) {
    items.push_back(std::move(item));
  }
  return items;
}

absl::StatusOr<std::vector<FolderFetch::Item>> FolderFetch::TakeFromCache(std::vector<Item> items) {
  std::vector<char> here(items.size(), 0);
  ATELIER_RETURN_IF_ERROR(InThreads(items.size(), [&](std::size_t i) -> absl::Status {
    const Item& item = items[i];
    ATELIER_ASSIGN_OR_RETURN(const bool linked, cache_.Link(item.blob, item.targets.front()));
    here[i] = linked ? 1 : 0;
    for (std::size_t t = 1; linked && t < item.targets.size(); ++t) {
      ATELIER_RETURN_IF_ERROR(OnWorker(LinkOrCopy(item.targets.front(), item.targets[t])));
    }
    return absl::OkStatus();
  }));
  std::vector<Item> missing;
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (here[i] == 0) {
      missing.push_back(std::move(items[i]));
    }
  }
  return missing;
}

absl::Status FolderFetch::FetchItem(const Item& item) {
  absl::Status fetched = FetchOnce(item);
  if (absl::IsDataLoss(fetched)) {
    spdlog::warn("{} of {}: {}; it is fetched once more", item.path, item.folder,
                 std::string(fetched.message()));
    fetched = FetchOnce(item);
  }
  if (absl::IsDataLoss(fetched) || absl::IsNotFound(fetched) || absl::IsOutOfRange(fetched)) {
    changed_ = true;
  }
  ATELIER_RETURN_IF_ERROR(fetched);
  for (std::size_t t = 1; t < item.targets.size(); ++t) {
    ATELIER_RETURN_IF_ERROR(OnWorker(LinkOrCopy(item.targets.front(), item.targets[t])));
  }
  Arrived(item);
  return absl::OkStatus();
}

absl::Status FolderFetch::FetchOnce(const Item& item) {
  ATELIER_ASSIGN_OR_RETURN(const std::unique_ptr<BlobWriter> writer, cache_.Write(item.blob));
  // Empty files, and those that are there but for their name, need no call.
  if (writer->offset() < item.blob.size) {
    ATELIER_RETURN_IF_ERROR(ReadRest(item, *writer));
  }
  return writer->Commit(item.targets.front());
}

absl::Status FolderFetch::ReadRest(const Item& item, BlobWriter& writer) {
  return Patiently(
      [&] {
        return client_.Read(item.folder, item.path, writer.offset(),
                            item.blob.size - writer.offset(),
                            [&](std::string_view bytes) { return writer.Append(bytes); });
      },
      [&] { return writer.offset(); });
}

absl::Status FolderFetch::Patiently(const std::function<absl::Status()>& work,
                                    const std::function<std::uint64_t()>& progress) const {
  absl::Time end = absl::Now() + options_.patience;
  absl::Duration backoff = options_.backoff_min;
  std::uint64_t before = progress();
  while (true) {
    absl::Status outcome = work();
    if (progress() != before) {
      before = progress();
      end = absl::Now() + options_.patience;
      backoff = options_.backoff_min;
    }
    if (!IsPassing(outcome) || IsOnWorker(outcome) || absl::Now() > end) {
      return outcome;
    }
    spdlog::warn("the server's files cannot be read: {}; it is tried again",
                 std::string(outcome.message()));
    if (!client_.Pause(backoff)) {
      return Ended();
    }
    backoff = std::min(2 * backoff, options_.backoff_max);
  }
}

absl::Status FolderFetch::InThreads(std::size_t count,
                                    const std::function<absl::Status(std::size_t)>& work) {
  std::atomic<std::size_t> next = 0;
  absl::Mutex mu;
  absl::Status first;
  std::atomic<bool> failed = false;
  const auto run = [&] {
    for (std::size_t i = next++; i < count && !failed && !client_.cancelled(); i = next++) {
      if (absl::Status outcome = work(i); !outcome.ok()) {
        failed = true;
        absl::MutexLock lock(&mu);
        first.Update(outcome);
      }
    }
  };
  std::vector<std::thread> threads;
  const std::size_t wanted = std::min(count, static_cast<std::size_t>(options_.threads));
  for (std::size_t i = 0; i < wanted; ++i) {
    threads.emplace_back(run);
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  return first.ok() && client_.cancelled() ? Ended() : first;
}

void FolderFetch::Arrived(const Item& item) {
  work_.Arrived(item.blob.size);
  absl::MutexLock lock(&mu_);
  ++here_.files;
  here_.bytes += item.blob.size;
  if (absl::Now() - logged_ >= options_.log_interval) {
    logged_ = absl::Now();
    spdlog::info("fetched {} of {} files, {} of {} MiB", here_.files, all_.files,
                 here_.bytes >> 20U, all_.bytes >> 20U);
  }
}

}  // namespace atelier::worker
