#include "common/metrics/metrics_endpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <httplib.h>

#include <atomic>

#include "common/errors.h"
#include "prometheus/counter.h"

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
