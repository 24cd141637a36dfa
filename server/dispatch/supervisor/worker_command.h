// The command lines of atelier-worker.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "server/dispatch/supervisor/trainer_share.h"

namespace atelier::server {

struct WorkerProgram {
  std::filesystem::path path;  // of atelier-worker
  std::string server;          // the link's address, "unix:/…"
  // Where training computes, of IsDeviceChoice (common/device_name.h).
  std::string trainer_device = "cpu";
  TrainerShare trainer_share;
  std::uint64_t model_memory_bytes = 2ULL << 30U;  // for models, in each serving worker
};

// `name` matches [a-z0-9][a-z0-9_-]{0,62}.
std::vector<std::string> ServeCommand(const WorkerProgram& program, const std::string& name);
std::vector<std::string> TrainCommand(const WorkerProgram& program, const std::string& job_id,
                                      std::uint64_t fence);
// `folder`: of a conversion, see common/convert_task.h.
std::vector<std::string> ConvertCommand(const std::filesystem::path& program,
                                        const std::filesystem::path& folder);

}  // namespace atelier::server
