#include "server/dispatch/supervisor/worker_command.h"

namespace atelier::server {
namespace {

constexpr std::size_t kMaxNameBytes = 63;

std::vector<std::string> Command(const WorkerProgram& program, const char* role,
                                 const std::string& name, const std::string& device) {
  return {program.path.string(),
          "--role",
          role,
          "--server",
          program.server,
          "--name",
          name,
          "--device",
          device};
}

}  // namespace

std::vector<std::string> ServeCommand(const WorkerProgram& program, const std::string& name) {
  std::vector<std::string> command = Command(program, "serve", name, "cpu");
  command.insert(command.end(),
                 {"--model-cache-bytes", std::to_string(program.model_memory_bytes)});
  return command;
}

std::vector<std::string> TrainCommand(const WorkerProgram& program, const std::string& job_id,
                                      std::uint64_t fence) {
  std::vector<std::string> command = Command(
      program, "train", ("train-" + job_id).substr(0, kMaxNameBytes), program.trainer_device);
  command.insert(command.end(), {"--job", job_id, "--fence", std::to_string(fence)});
  if (program.trainer_share.threads > 0) {
    command.insert(command.end(), {"--threads", std::to_string(program.trainer_share.threads)});
  }
  if (program.trainer_share.leftover) {
    command.emplace_back("--leftover-cpu");
  }
  return command;
}

std::vector<std::string> ConvertCommand(const std::filesystem::path& program,
                                        const std::filesystem::path& folder) {
  return {program.string(), "--role", "convert", "--task", folder.string()};
}

}  // namespace atelier::server
