#include "common/metrics/metrics_endpoint.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <httplib.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cstddef>
#include <filesystem>
#include <iterator>
#include <vector>

#include "common/errors.h"
#include "prometheus/counter.h"
#include "tests/support/wait_until.h"

namespace atelier {
namespace {

using ::testing::HasSubstr;

class MetricsEndpointTest : public ::testing::Test {
 protected:
  MetricsEndpoint::Options Options() {
    MetricsEndpoint::Options options;
    options.listen = "127.0.0.1:0";
    options.registry = registry_;
    options.live = [this] { return live_.load(); };
    options.ready = [this] { return ready_.load(); };
    return options;
  }

  static httplib::Result Get(const MetricsEndpoint& endpoint, const std::string& path) {
    httplib::Client client(endpoint.address().host, endpoint.address().port);
    return client.Get(path);
  }

  const std::shared_ptr<prometheus::Registry> registry_ = std::make_shared<prometheus::Registry>();
  std::atomic<bool> live_{true};
  std::atomic<bool> ready_{false};
};

TEST_F(MetricsEndpointTest, MetricsAreThePrometheusTextOfTheRegistry) {
  prometheus::BuildCounter()
      .Name("atelier_requests_total")
      .Register(*registry_)
      .Add({})
      .Increment(3);
  const auto endpoint = MetricsEndpoint::Create(Options());
  ASSERT_TRUE(endpoint.ok()) << endpoint.status();
  EXPECT_NE((*endpoint)->address().port, 0);
  const auto result = Get(**endpoint, "/metrics");
  ASSERT_TRUE(result);
  EXPECT_EQ(result->status, 200);
  EXPECT_THAT(result->get_header_value("Content-Type"), HasSubstr("version=0.0.4"));
  EXPECT_THAT(result->body, HasSubstr("\natelier_requests_total 3\n"));
}

TEST_F(MetricsEndpointTest, ProbesFollowTheirFunctions) {
  const auto endpoint = MetricsEndpoint::Create(Options());
  ASSERT_TRUE(endpoint.ok()) << endpoint.status();
  EXPECT_EQ(Get(**endpoint, "/healthz")->status, 200);
  EXPECT_EQ(Get(**endpoint, "/readyz")->status, 503);
  EXPECT_EQ(Get(**endpoint, "/readyz")->body, "not ready\n");
  ready_ = true;
  live_ = false;
  EXPECT_EQ(Get(**endpoint, "/healthz")->status, 503);
  EXPECT_EQ(Get(**endpoint, "/readyz")->status, 200);
}

TEST_F(MetricsEndpointTest, IdleConnectionsTakeABoundedNumberOfDescriptors) {
  const auto descriptors = [] {
    return std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {});
  };
  const auto endpoint = MetricsEndpoint::Create(Options());
  ASSERT_TRUE(endpoint.ok()) << endpoint.status();
  const std::ptrdiff_t before = descriptors();
  std::vector<int> clients;
  const auto accepted = [&] {
    return descriptors() - before - static_cast<std::ptrdiff_t>(clients.size());
  };
  sockaddr_in to = {};
  to.sin_family = AF_INET;
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  to.sin_port = htons((*endpoint)->address().port);
  // One after the other, because the system's own queue is short, and not for ever.
  const auto dial = [&] {
    clients.push_back(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
    if (connect(clients.back(), reinterpret_cast<const sockaddr*>(&to), sizeof(to)) != 0) {
      pollfd dialled = {.fd = clients.back(), .events = POLLOUT};
      poll(&dialled, 1, /*milliseconds=*/20);
    }
  };
  // Four are served, 64 wait, and one is accepted and waits to wait.
  constexpr std::ptrdiff_t kMost = 4 + 64 + 1;
  EXPECT_TRUE(test::WaitUntil([&] {
    dial();
    return accepted() >= kMost;
  })) << accepted();
  for (int i = 0; i < 20; ++i) {
    dial();
    EXPECT_LE(accepted(), kMost);
  }
  for (const int client : clients) {
    close(client);
  }
  EXPECT_EQ(Get(**endpoint, "/healthz")->status, 200);
}

TEST_F(MetricsEndpointTest, OtherPathsAreNotFound) {
  const auto endpoint = MetricsEndpoint::Create(Options());
  ASSERT_TRUE(endpoint.ok()) << endpoint.status();
  EXPECT_EQ(Get(**endpoint, "/etc/passwd")->status, 404);
}

TEST_F(MetricsEndpointTest, AnExceptionStaysInside) {
  MetricsEndpoint::Options options = Options();
  options.ready = []() -> bool { throw std::runtime_error("secret"); };
  const auto endpoint = MetricsEndpoint::Create(options);
  ASSERT_TRUE(endpoint.ok()) << endpoint.status();
  const auto result = Get(**endpoint, "/readyz");
  ASSERT_TRUE(result);
  EXPECT_EQ(result->status, 500);
  for (const auto& [name, value] : result->headers) {
    EXPECT_EQ(value.find("secret"), std::string::npos) << name;
  }
}

TEST_F(MetricsEndpointTest, APortInUseIsUnavailableAndFreeAgainAfterwards) {
  auto first = MetricsEndpoint::Create(Options());
  ASSERT_TRUE(first.ok()) << first.status();
  MetricsEndpoint::Options same = Options();
  same.listen = FormatHostPort((*first)->address());
  EXPECT_TRUE(absl::IsUnavailable(MetricsEndpoint::Create(same).status()));
  first->reset();
  EXPECT_TRUE(MetricsEndpoint::Create(same).ok());
}

TEST_F(MetricsEndpointTest, AnAddressThatIsNoneIsRefused) {
  MetricsEndpoint::Options options = Options();
  options.listen = "nowhere";
  EXPECT_EQ(FieldOf(MetricsEndpoint::Create(options).status()), "metrics-listen");
}

TEST_F(MetricsEndpointTest, StopsAtOnceWithNobodyConnected) {
  const auto start = absl::Now();
  for (int i = 0; i < 20; ++i) {
    ASSERT_TRUE(MetricsEndpoint::Create(Options()).ok());
  }
  EXPECT_LT(absl::Now() - start, absl::Seconds(10));
}

}  // namespace
}  // namespace atelier
