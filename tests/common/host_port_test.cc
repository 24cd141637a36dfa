#include "common/host_port.h"

#include <gtest/gtest.h>

#include "common/errors.h"

namespace atelier {
namespace {

TEST(HostPortTest, SplitsAndJoins) {
  for (const char* text : {"127.0.0.1:8001", "localhost:0", "[::1]:65535", "0.0.0.0:1"}) {
    const auto address = ParseHostPort("listen", text);
    ASSERT_TRUE(address.ok()) << address.status();
    EXPECT_EQ(FormatHostPort(*address), text);
  }
  EXPECT_EQ(ParseHostPort("listen", "[::1]:8001")->host, "::1");
}

TEST(HostPortTest, AnythingElseNamesTheField) {
  for (const char* text : {"", ":", "host", "host:", ":80", "host:65536", "host:-1", "host:8o",
                           "::1:80", "[host]:80", "[]:80"}) {
    EXPECT_EQ(FieldOf(ParseHostPort("listen", text).status()), "listen") << text;
  }
}

}  // namespace
}  // namespace atelier
