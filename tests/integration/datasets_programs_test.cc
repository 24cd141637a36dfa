// Data sets through the real programs: made, filled by every way, trained on, and what goes wrong.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "client/api/dataset_upload.h"
#include "common/errors.h"
#include "common/files.h"
#include "tests/integration/pictures.h"
#include "tests/integration/service.h"
#include "tests/support/temp_dir.h"
#include "tests/support/wait_until.h"

namespace atelier::test {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class DatasetsProgramsTest : public ::testing::Test {
 protected:
  DatasetsProgramsTest() {
    options_.data_dir = directory_ / "data";
    options_.more = {"--dataset-import-root", (directory_ / "imports").string()};
    fs::create_directories(directory_ / "imports");
  }

  void Start() { service_ = std::make_unique<Service>(options_); }

  ProcessResult Atelier(std::vector<std::string> arguments) {
    return RunAtelier(*service_, directory_.path(), std::move(arguments), absl::Minutes(3));
  }

  v1::Dataset Show(const std::string& name) {
    v1::GetDatasetRequest request;
    request.set_name(name);
    const auto response = service_->client().GetDataset(request);
    EXPECT_TRUE(response.ok()) << response.status();
    return response.ok() ? response->dataset() : v1::Dataset();
  }

  absl::Status Create(const std::string& name) {
    v1::CreateDatasetRequest request;
    request.set_name(name);
    request.set_license("CC0-1.0");
    return service_->client().CreateDataset(request).status();
  }

  absl::StatusOr<v1::UploadDatasetResponse> Upload(const std::string& set, const fs::path& input) {
    const auto plan = client::PlanUpload({input}, /*skip_bad=*/false);
    EXPECT_TRUE(plan.ok()) << plan.status();
    return client::UploadFiles(service_->client(), *plan, {.dataset = set}, [](auto, auto) {});
  }

  // Runs the job to its end.
  v1::Job Train(const v1::CreateJobRequest& request) {
    const auto created = service_->client().CreateJob(request);
    EXPECT_TRUE(created.ok()) << created.status();
    v1::WatchJobRequest watch;
    watch.set_job_id(request.spec().job_id());
    EXPECT_TRUE(service_->client().WatchJob(watch, [](const v1::JobEvent&) { return true; }).ok());
    v1::GetJobRequest get;
    get.set_job_id(request.spec().job_id());
    return service_->client().GetJob(get).value_or(v1::Job());
  }

  bool NothingIsLeft() const {
    for (const auto& entry : fs::directory_iterator(directory_ / "data/datasets/.uploads")) {
      if (fs::exists(entry.path() / "files") || fs::exists(entry.path() / "work") ||
          fs::exists(entry.path() / "part")) {
        return false;
      }
    }
    return !service_->Worker(WorkerKind::kConvert) &&
           fs::is_empty(directory_ / "data/datasets/.work");
  }

  TempDir directory_;
  Service::Options options_;
  std::unique_ptr<Service> service_;
};

TEST_F(DatasetsProgramsTest, ASetIsMadeFilledShownAndDeletedByTheProgram) {
  MakeDataset(directory_ / "in/coats", 3, 1);
  MakeDataset(directory_ / "in/hats", 2, 50);
  Start();
  EXPECT_EQ(
      Atelier({"datasets", "create", "garments", "--license", "CC0-1.0", "--source", "drawn"}).out,
      "garments\n");
  const ProcessResult upload = Atelier({"datasets", "upload", "garments", "in"});
  EXPECT_EQ(upload.exit_code, 0) << upload.err << service_->process().Stderr();
  EXPECT_THAT(upload.out, AllOf(HasSubstr("added 5 pictures"), HasSubstr("which has 5 now")));
  // The same again sends nothing: the upload is done.
  EXPECT_EQ(Atelier({"datasets", "upload", "garments", "in"}).exit_code, 0);

  MakeDataset(directory_ / "imports/new/hats", 3, 50);  // of which two are there
  const ProcessResult import = Atelier({"datasets", "import", "garments", "new"});
  EXPECT_THAT(import.out, AllOf(HasSubstr("added 1 picture ("), HasSubstr("has 6 now"),
                                HasSubstr("2 were there already")));
  fs::remove_all(directory_ / "imports/new");
  MakeDataset(directory_ / "imports/new/gloves", 2, 90);
  EXPECT_THAT(Atelier({"datasets", "import", "garments", "new"}).out, HasSubstr("has 8 now"));

  const ProcessResult show = Atelier({"datasets", "show", "garments", "-o", "sample.jpg"});
  EXPECT_EQ(show.exit_code, 0) << show.err;
  EXPECT_THAT(show.out, AllOf(HasSubstr("CC0-1.0"), HasSubstr("coats"), HasSubstr("gloves")));
  EXPECT_GT(fs::file_size(directory_ / "sample.jpg"), 1000u);
  EXPECT_THAT(Atelier({"datasets", "list", "--output", "json"}).out,
              HasSubstr(R"("labels":["coats","gloves","hats"])"));
  EXPECT_TRUE(NothingIsLeft());

  EXPECT_EQ(Atelier({"datasets", "delete", "garments"}).out, "deleted garments\n");
  EXPECT_THAT(Atelier({"datasets", "show", "garments"}).err, HasSubstr("no data set"));
}

TEST_F(DatasetsProgramsTest, AnArchiveIsUnpackedAndAHostileOneLeavesNothing) {
  MakeDataset(directory_ / "in/coats", 3, 1);
  ProcessOptions tar;
  tar.command = {"/usr/bin/env", "tar", "czf", "in.tar.gz", "in"};
  tar.directory = directory_.path().string();
  ASSERT_EQ(RunProcess(tar, absl::Minutes(1)).exit_code, 0);
  tar.command = {"/usr/bin/env", "tar", "cPf", "out.tar",
                 "../" + directory_.path().filename().string() + "/in"};
  ASSERT_EQ(RunProcess(tar, absl::Minutes(1)).exit_code, 0);
  Start();
  ASSERT_TRUE(Create("garments").ok());
  const absl::Status hostile = Upload("garments", directory_ / "out.tar").status();
  EXPECT_EQ(FieldOf(hostile), "archive") << hostile;
  EXPECT_THAT(std::string(hostile.message()), HasSubstr("leads out"));
  EXPECT_TRUE(NothingIsLeft());
  EXPECT_EQ(Show("garments").files(), 0u);
  const auto good = Upload("garments", directory_ / "in.tar.gz");
  ASSERT_TRUE(good.ok()) << good.status() << service_->process().Stderr();
  EXPECT_EQ(good->result().added(), 3u);
  EXPECT_THAT(Show("garments").labels(), ElementsAre("coats"));
}

TEST_F(DatasetsProgramsTest, AnUploadSurvivesTheServersDeath) {
  MakeDataset(directory_ / "in", 8, 1);
  Start();
  ASSERT_TRUE(Create("garments").ok());
  const auto plan = *client::PlanUpload({directory_ / "in"}, /*skip_bad=*/false);
  bool killed = false;
  const auto cut = client::UploadFiles(
      service_->client(), plan, {.dataset = "garments", .patience = absl::ZeroDuration()},
      [&](std::uint64_t done, std::uint64_t total) {
        const fs::path list =
            directory_ / "data/datasets/.uploads" / ("garments." + plan.upload_id) / "files/3";
        if (!killed && done > total / 2) {
          EXPECT_TRUE(WaitUntil([&] { return fs::exists(list); }));
          service_->process().Signal(SIGKILL);
          service_->process().Wait();
          killed = true;
        }
      });
  EXPECT_TRUE(absl::IsUnavailable(cut.status())) << cut.status();
  Start();
  v1::GetUploadRequest request;
  request.set_dataset("garments");
  request.set_upload_id(plan.upload_id);
  const auto state = service_->client().GetUpload(request);
  ASSERT_TRUE(state.ok()) << state.status();
  EXPECT_GE(state->files_received(), 4u);
  EXPECT_LT(state->files_received(), 8u);
  const auto rest =
      client::UploadFiles(service_->client(), plan, {.dataset = "garments"}, [](auto, auto) {});
  ASSERT_TRUE(rest.ok()) << rest.status();
  EXPECT_EQ(rest->dataset().files(), 8u);
  EXPECT_TRUE(NothingIsLeft());
}

TEST_F(DatasetsProgramsTest, JobsLearnFromUploadedSetsWhichStayMeanwhile) {
  MakeDataset(directory_ / "photographs", 6, 1);
  MakeDataset(directory_ / "paintings/oil", 3, 100);
  MakeDataset(directory_ / "paintings/ink", 3, 200);
  Start();
  for (const char* set : {"photographs", "paintings"}) {
    ASSERT_TRUE(Create(set).ok());
    const auto uploaded = Upload(set, directory_ / set);
    ASSERT_TRUE(uploaded.ok()) << uploaded.status() << service_->process().Stderr();
  }
  // An unpaired pair.
  v1::CreateJobRequest pair = TinyJob("pair", "pair", 10);
  pair.mutable_spec()->mutable_train()->mutable_data()->set_content("photographs");
  pair.mutable_spec()->mutable_train()->mutable_data()->set_style("paintings");
  v1::Job job = Train(pair);
  EXPECT_EQ(job.state(), v1::JOB_STATE_SUCCEEDED) << job.reason();
  // A set of styles: a folder a style.
  v1::CreateJobRequest styles = pair;
  styles.mutable_spec()->set_job_id("styles");
  styles.mutable_spec()->set_output_model("styles");
  styles.mutable_spec()->mutable_train()->set_family("multistyle");
  job = Train(styles);
  EXPECT_EQ(job.state(), v1::JOB_STATE_SUCCEEDED) << job.reason();
  // A labelled set.
  v1::CreateJobRequest labelled;
  labelled.mutable_spec()->set_job_id("labelled");
  labelled.mutable_spec()->set_output_model("labelled");
  v1::TrainSpec& train = *labelled.mutable_spec()->mutable_train();
  train.set_family("cgan");
  train.mutable_data()->set_content("paintings");
  train.set_steps(4);
  train.set_batch_size(2);
  train.set_image_size(64);
  train.set_precision(v1::PRECISION_FP32);
  job = Train(labelled);
  EXPECT_EQ(job.state(), v1::JOB_STATE_SUCCEEDED) << job.reason();

  v1::CreateJobRequest longer = TinyJob("longer", "pair", 100'000);
  *longer.mutable_spec()->mutable_train()->mutable_data() = pair.spec().train().data();
  ASSERT_TRUE(service_->client().CreateJob(longer).ok());
  v1::DeleteDatasetRequest remove;
  remove.set_name("paintings");
  const absl::Status deleted = service_->client().DeleteDataset(remove).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(deleted)) << deleted;
  EXPECT_THAT(std::string(deleted.message()), HasSubstr("\"longer\""));
  service_->AwaitWorker(WorkerKind::kTrain);
  MakeDataset(directory_ / "more", 1, 300);
  EXPECT_TRUE(WaitUntil([&] {
    return absl::IsFailedPrecondition(Upload("paintings", directory_ / "more").status());
  }));
  v1::CancelJobRequest cancel;
  cancel.set_job_id("longer");
  EXPECT_TRUE(service_->client().CancelJob(cancel).ok());
  EXPECT_TRUE(
      WaitUntil([&] { return service_->client().DeleteDataset(remove).ok(); }, absl::Seconds(30)));
}

TEST_F(DatasetsProgramsTest, NamedSetsAreReadOnlyAndBadInputHasItsCode) {
  MakeDataset(directory_ / "named", 2, 1);
  fs::create_directories(directory_ / "secret");
  fs::create_directory_symlink(directory_ / "secret", directory_ / "imports/link");
  options_.datasets = {{"named", directory_ / "named"}};
  Start();
  EXPECT_TRUE(Show("named").read_only());
  EXPECT_TRUE(absl::IsFailedPrecondition(Upload("named", directory_ / "named").status()));
  v1::DeleteDatasetRequest remove;
  remove.set_name("named");
  EXPECT_TRUE(absl::IsFailedPrecondition(service_->client().DeleteDataset(remove).status()));
  EXPECT_TRUE(absl::IsAlreadyExists(Create("named")));
  ASSERT_TRUE(Create("own").ok());
  for (const char* folder : {"../secret", "/etc", "link"}) {
    v1::ImportDatasetRequest import;
    import.set_name("own");
    import.set_folder(folder);
    EXPECT_EQ(FieldOf(service_->client().ImportDataset(import).status()), "folder") << folder;
  }
  std::ofstream(directory_ / "broken.jpg", std::ios::binary)
      << MakePicture(96, 80, 1).substr(0, 700);
  const absl::Status broken = Upload("own", directory_ / "broken.jpg").status();
  EXPECT_EQ(FieldOf(broken), "file") << broken;
  EXPECT_THAT(std::string(broken.message()), HasSubstr("\"broken.jpg\""));
  EXPECT_TRUE(NothingIsLeft());
}

}  // namespace
}  // namespace atelier::test
