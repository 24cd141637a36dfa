// Runs the real program against a fake server.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/client/fake_server.h"
#include "tests/support/process.h"
#include "tests/support/temp_dir.h"

namespace atelier::test {

class CliTest : public ::testing::Test {
 protected:
  // The options of a run of `atelier`, in the test's own folder.
  ProcessOptions Atelier(const std::vector<std::string>& arguments) const;
  ProcessResult Run(const std::vector<std::string>& arguments) const {
    return RunProcess(Atelier(arguments));
  }

  void Write(const std::string& name, const std::string& contents) const;
  // Empty when there is no such file.
  std::string Read(const std::string& name) const;

  FakeServer server_;
  TempDir folder_;
};

}  // namespace atelier::test
