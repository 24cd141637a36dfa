// The families of unpaired sets through the real programs, from the job to the picture that its
// model restyles.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/integration/pictures.h"
#include "tests/integration/service.h"
#include "tests/integration/train_fixture.h"

namespace atelier::test {
namespace {

class StyledFamiliesProgramsTest : public TrainProgramsTest {
 protected:
  // Trains the job `family` to the model of that name, and restyles a picture with it.
  void ExpectTrainsAndStylizes(const v1::CreateJobRequest& request) const {
    Service service(options_);
    const std::string& family = request.spec().train().family();
    Create(service, request);
    const std::vector<v1::JobEvent> events = Watch(service, family);
    ASSERT_FALSE(events.empty());
    ASSERT_EQ(events.back().state().state(), v1::JOB_STATE_SUCCEEDED)
        << GetJob(service, family).reason() << service.process().Stderr();
    v1::GetModelRequest get;
    get.set_model(family);
    const auto model = service.client().GetModel(get);
    ASSERT_TRUE(model.ok()) << model.status();
    EXPECT_EQ(model->family(), family);
    ExpectStylizes(service, family);
  }

  static v1::CreateJobRequest SmallGanJob(const std::string& family) {
    v1::CreateJobRequest request = TinyJob(family, family, 3);
    v1::TrainSpec& train = *request.mutable_spec()->mutable_train();
    UseFamily(train, family);
    train.set_base_channels(4);
    train.mutable_gan()->set_channels(4);
    return request;
  }
};

TEST_F(StyledFamiliesProgramsTest, CycleganLearnsFromTwoSetsAndStylizes) {
  v1::CreateJobRequest request = SmallGanJob("cyclegan");
  request.mutable_spec()->mutable_train()->set_generator("resnet-6");
  ExpectTrainsAndStylizes(request);
}

TEST_F(StyledFamiliesProgramsTest, CutLearnsFromTwoSetsAndStylizes) {
  v1::CreateJobRequest request = SmallGanJob("cut");
  v1::TrainSpec& train = *request.mutable_spec()->mutable_train();
  train.set_generator("cut-resnet-6");
  train.mutable_cut()->set_patches(16);
  ExpectTrainsAndStylizes(request);
}

}  // namespace
}  // namespace atelier::test
