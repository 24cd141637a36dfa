// atelier: the command-line client.
#include <unistd.h>

#include <csignal>
#include <iostream>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "client/cli/commands.h"
#include "client/cli/output.h"
#include "client/cli/session.h"
#include "common/build_info.h"

namespace atelier::cli {
namespace {

struct Globals {
  client::Client::Options client;
  OutputFormat output = OutputFormat::kText;
};

void AddGlobals(CLI::App& app, Globals& globals) {
  app.add_option("--server", globals.client.server, "The server, HOST:PORT; default 127.0.0.1:8001")
      ->envname("ATELIER_SERVER");
  app.add_option("--ca", globals.client.ca,
                 "Certificates (PEM) of whoever signed the server's: the connection is TLS then");
  app.add_option("--cert", globals.client.cert,
                 "A certificate (PEM) to show to the server, with --key; the connection is TLS "
                 "then");
  app.add_option("--key", globals.client.key, "Its private key (PEM)");
  app.add_option_function<std::string>(
         "--output",
         [&globals](const std::string& name) {
           globals.output = name == "json" ? OutputFormat::kJson : OutputFormat::kText;
         },
         "text (for people) or json (for programs: one object, or one a line where a command's "
         "--help says so); default text")
      ->check(CLI::IsMember({"text", "json"}));
  app.set_version_flag("--version", std::string("atelier ") + Version());
  // The global options may stand behind the command, too.
  app.fallthrough();
  app.require_subcommand(1);
  app.footer(
      "Examples:\n"
      "  atelier stylize dress.jpg -o dress-van-gogh.jpg --model van-gogh\n"
      "  atelier generate florals --count 8 -o florals/\n"
      "  atelier train -f oil.json --watch\n"
      "Every command has a --help of its own. Exit codes: 0 done, 1 failed, 2 misused.");
}

// Help and version are no errors; everything else that the parser refuses is misuse.
int ExitOf(const CLI::App& app, const CLI::ParseError& error) {
  if (error.get_exit_code() == static_cast<int>(CLI::ExitCodes::Success)) {
    return app.exit(error);
  }
  const CLI::App* command = &app;
  std::string name = "atelier";
  while (!command->get_subcommands().empty()) {
    command = command->get_subcommands().front();
    name += " " + command->get_name();
  }
  // The parser complains about the missing command before it looks at the word that stands there.
  const std::vector<std::string> unknown = app.remaining(/*recurse=*/true);
  const std::string sentence =
      unknown.empty() ? error.what()
                      : "\"" + unknown.front() + "\" is no command or option of this program";
  std::cerr << "atelier: " << sentence << "\nSee \"" << name << " --help\"." << std::endl;
  return kMisused;
}

int Run(const Globals& globals, const Command& command) {
  const auto client = client::Client::Create(globals.client);
  if (!client.ok()) {
    std::cerr << "atelier: --" << client.status().message() << std::endl;
    return kMisused;
  }
  Session session = {**client, globals.output, std::cout, std::cerr, ::isatty(STDERR_FILENO) == 1};
  const ExitCode code = command(session);
  std::cout.flush();
  if (!std::cout.good()) {
    return Fail(session, "cannot write to the standard output");
  }
  return code;
}

int Main(int argc, char** argv) {
  CLI::App app("Restyles fashion pictures and makes patterns with trained models, and trains them.",
               "atelier");
  Globals globals;
  Command command;
  AddGlobals(app, globals);
  AddStylize(app, command);
  AddGenerate(app, command);
  AddModels(app, command);
  AddDatasets(app, command);
  AddTrain(app, command);
  AddJobs(app, command);
  AddCompare(app, command);
  AddRate(app, command);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return ExitOf(app, error);
  }
  return Run(globals, command);
}

}  // namespace
}  // namespace atelier::cli

int main(int argc, char** argv) {
  // A reader that goes away is an error to tell, of a pipe to ffmpeg as of standard output.
  std::signal(SIGPIPE, SIG_IGN);
  return atelier::cli::Main(argc, argv);
}
