// The command line of atelier-worker.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <variant>

namespace atelier::worker {

struct WorkerOptions {
  enum class Role { kServe, kTrain, kRank, kConvert };
  Role role = Role::kServe;
  std::string server;  // "unix:PATH" or "HOST:PORT"
  std::string name;
  std::string device = "cpu";  // of IsDeviceChoice (common/device_name.h)
  std::uint32_t slots = 4;
  int threads = 0;  // 0: LibTorch's choice
  bool leftover_cpu = false;
  std::string job;
  std::uint64_t fence = 0;
  std::filesystem::path task;  // the folder of a conversion, or the file of a rank's job
  std::filesystem::path feature_weights;
  std::uint64_t model_cache_bytes = 2ULL << 30U;
  // PEM files of the link with HOST:PORT; empty with unix:PATH.
  std::filesystem::path ca;
  std::filesystem::path certificate;
  std::filesystem::path key;
  // Where files of a server on another machine are kept, and how many bytes of them.
  std::filesystem::path cache_directory;
  std::uint64_t cache_bytes = 20ULL << 30U;

  // Files come over the link, because the server's disk is another machine's.
  bool fetches_files() const { return !ca.empty(); }
};

// The options, or the exit code with which to end at once (0 after --help and --version, 2 for
// misuse; the text is already printed).
std::variant<WorkerOptions, int> ParseWorkerOptions(int argc, const char* const* argv);

}  // namespace atelier::worker
