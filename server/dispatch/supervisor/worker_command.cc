#include "server/dispatch/supervisor/worker_command.h"

namespace atelier::server {
namespace {

constexpr std::size_t kMaxNameBytes = 63;

std::vector<std::string> Command(const WorkerProgram& program, const char* role,
                                 const std::string& name) {
  return {program.path.string(),
          "--role",
          role,
          "--server",
          program.server,
          "--name",
          name,
          "--device",
          "cpu"};
}

}  // namespace

std::vector<std::string> ServeCommand(const WorkerProgram& program, const std::string& name) {
  return Command(program, "serve", name);
}

std::vector<std::string> TrainCommand(const WorkerProgram& program, const std::string& job_id,
                                      std::uint64_t fence) {
  std::vector<std::string> command =
      Command(program, "train", ("train-" + job_id).substr(0, kMaxNameBytes));
  command.insert(command.end(), {"--job", job_id, "--fence", std::to_string(fence)});
  return command;
}

std::vector<std::string> ConvertCommand(const std::filesystem::path& program,
                                        const std::filesystem::path& folder) {
  return {program.string(), "--role", "convert", "--task", folder.string()};
}

}  // namespace atelier::server
