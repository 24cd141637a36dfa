#include "tests/integration/service.h"

#include <gtest/gtest.h>
#include <httplib.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <fstream>
#include <iterator>
#include <sstream>

#include "tests/support/wait_until.h"

namespace atelier::test {
namespace {

// The word behind `key` in "listening grpc=HOST:PORT metrics=HOST:PORT".
std::string WordBehind(const std::string& text, const std::string& key) {
  const std::size_t start = text.find(key);
  if (start == std::string::npos) {
    return "";
  }
  const std::size_t begin = start + key.size();
  return text.substr(begin, text.find_first_of(" \n", begin) - begin);
}

// Empty when it cannot be read. A process that ends between opening and reading its file in /proc
// is a read error, which an istreambuf_iterator would throw: operator<< catches it.
std::string Contents(const std::filesystem::path& path) {
  const std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

// The fields of /proc/PID/stat behind the program's name (which may hold anything), see proc(5).
constexpr std::size_t kStatState = 0;
constexpr std::size_t kStatParent = 1;
constexpr std::size_t kStatUserTicks = 11;
constexpr std::size_t kStatSystemTicks = 12;

std::vector<std::string> StatOf(const std::string& pid) {
  const std::string text = Contents("/proc/" + pid + "/stat");
  const std::size_t name_end = text.rfind(')');
  if (name_end == std::string::npos) {
    return {};
  }
  std::istringstream words(text.substr(name_end + 1));
  return {std::istream_iterator<std::string>(words), std::istream_iterator<std::string>()};
}

}  // namespace

Service::Service(const Options& options) {
  ProcessOptions process;
  process.command = options.wrapper;
  const std::vector<std::string> command = {
      ProgramPath("atelier-server"), "--data-dir", options.data_dir.string(), "--listen",
      "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0", "--shipped-models",
      options.shipped_models.empty() ? "none" : options.shipped_models.string(),
      // Tests run two at a time: at the usual niceness a trainer beside another test's would crawl.
      "--serving-share", "0.5"};
  process.command.insert(process.command.end(), command.begin(), command.end());
  for (const auto& [name, folder] : options.datasets) {
    process.command.insert(process.command.end(), {"--dataset", name + "=" + folder.string()});
  }
  process.command.insert(process.command.end(), options.more.begin(), options.more.end());
  process_ = std::make_unique<Process>(process);
  EXPECT_TRUE(process_->WaitForStdout("listening ", absl::Seconds(60))) << process_->Stderr();
  EXPECT_TRUE(process_->WaitForStdout("\n"));
  grpc_ = WordBehind(process_->Stdout(), "grpc=");
  metrics_ = WordBehind(process_->Stdout(), "metrics=");
  workers_ = WordBehind(process_->Stdout(), "workers=");
  client::Client::Options client;
  client.server = grpc_;
  client.watch_patience = absl::Seconds(5);
  auto created = client::Client::Create(client);
  EXPECT_TRUE(created.ok()) << created.status();
  if (created.ok()) {
    client_ = *std::move(created);
  }
}

std::optional<pid_t> Service::Worker(WorkerKind kind) const {
  const std::string role = kind == WorkerKind::kServe   ? "--role serve"
                           : kind == WorkerKind::kTrain ? "--role train"
                                                        : "--role convert";
  for (const pid_t child : ChildrenOf(process_->pid())) {
    if (CommandLineOf(child).find(role) != std::string::npos) {
      return child;
    }
  }
  return std::nullopt;
}

pid_t Service::AwaitWorker(WorkerKind kind, pid_t old) const {
  std::optional<pid_t> found;
  EXPECT_TRUE(WaitUntil(
      [&] {
        found = Worker(kind);
        return found.has_value() && *found != old;
      },
      absl::Seconds(60)))
      << process_->Stderr();
  return found.value_or(0);
}

void Service::KillWithWorkers() {
  process_->Signal(SIGSTOP);  // so that it sees none of its workers die
  for (const pid_t child : ChildrenOf(process_->pid())) {
    kill(-child, SIGKILL);  // with what it has started
    kill(child, SIGKILL);
  }
  process_->Signal(SIGKILL);
  EXPECT_TRUE(process_->Wait().has_value());
}

std::string Service::Page(const std::string& path) const {
  httplib::Client http("http://" + metrics_);
  const auto reply = http.Get(path.c_str());
  return reply && reply->status == 200 ? reply->body : "";
}

std::optional<double> Service::Metric(const std::string& prefix) const {
  std::istringstream lines(Page("/metrics"));
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with(prefix)) {
      return std::stod(line.substr(line.rfind(' ') + 1));
    }
  }
  return std::nullopt;
}

ProcessResult RunAtelier(const Service& service, const std::filesystem::path& directory,
                         std::vector<std::string> arguments, absl::Duration limit) {
  arguments.insert(arguments.begin(), ProgramPath("atelier"));
  ProcessOptions options;
  options.command = std::move(arguments);
  options.environment = {{"ATELIER_SERVER", service.grpc_address()}};
  options.directory = directory.string();
  return RunProcess(options, limit);
}

std::string ProgramPath(const std::string& name) {
  return std::string(ATELIER_BINARY_DIR) + "/bin/" + name;
}

std::vector<pid_t> ChildrenOf(pid_t parent) {
  std::vector<pid_t> children;
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    const std::string name = entry.path().filename();
    if (name.find_first_not_of("0123456789") != std::string::npos) {
      continue;
    }
    const std::vector<std::string> stat = StatOf(name);
    if (stat.size() > kStatParent && stat[kStatState] != "Z" &&
        stat[kStatParent] == std::to_string(parent)) {
      children.push_back(std::stoi(name));
    }
  }
  return children;
}

std::string CommandLineOf(pid_t pid) {
  std::string text = Contents("/proc/" + std::to_string(pid) + "/cmdline");
  std::replace(text.begin(), text.end(), '\0', ' ');
  return text;
}

absl::Duration CpuTimeOf(pid_t pid) {
  const std::vector<std::string> stat = StatOf(std::to_string(pid));
  if (stat.size() <= kStatSystemTicks) {
    return absl::ZeroDuration();
  }
  const double ticks = std::stod(stat[kStatUserTicks]) + std::stod(stat[kStatSystemTicks]);
  return absl::Seconds(ticks / static_cast<double>(sysconf(_SC_CLK_TCK)));
}

}  // namespace atelier::test
