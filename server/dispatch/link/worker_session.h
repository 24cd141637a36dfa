// One connected worker, from its Hello to the end of its streams: a state machine that trusts
// nothing the worker sends. Free of gRPC.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "atelier/internal/v1/worker_link.pb.h"
#include "common/clock.h"
#include "server/dispatch/dispatcher.h"
#include "server/dispatch/files/shared_folder.h"
#include "server/dispatch/link/link_peer.h"
#include "server/dispatch/link/link_transport.h"
#include "server/dispatch/link/session_folders.h"
#include "server/dispatch/link/trainer_watcher.h"
#include "server/dispatch/link/worker_probe.h"
#include "server/dispatch/link/worker_watcher.h"
#include "server/dispatch/model_loader.h"
#include "server/jobs/trainer_port.h"

namespace atelier::server {

// The range of link protocol versions that this server speaks.
inline constexpr std::uint32_t kLinkProtocolMin = 1;
inline constexpr std::uint32_t kLinkProtocolMax = 2;
// Messages over this size go on the bulk stream. Unit: bytes.
inline constexpr std::size_t kBulkThreshold = 1 << 20;

// Thread-safe. Messages of one stream come one after the other, those of the two streams at the
// same time.
//
//   kAwaitHello ──► kAwaitBulk ──► kServing ──► kClosed        (any state may go to kClosed)
//        ├──────────────────────► kTraining ──────┤
//        └────────► kIdle ───────────┘            │            (a trainer that waits for a job)
//                     └───────────────────────────┘
class WorkerSession final : public WorkerPort,
                            public ModelPort,
                            public FreeTrainerPort,
                            public std::enable_shared_from_this<WorkerSession> {
 public:
  // All outlive the session.
  struct Context {
    Dispatcher* dispatcher = nullptr;
    ModelLoader* loader = nullptr;
    JobSink* jobs = nullptr;
    TrainerWatcher* trainers = nullptr;
    FreeTrainers* free_trainers = nullptr;  // nullptr: such trainers are refused
    WorkerWatcher* workers = nullptr;       // of serving workers that hang; nullptr: nobody to tell
    WorkerProbe* probe = nullptr;
    Clock* clock = nullptr;
    // A worker that says nothing for this long is lost.
    absl::Duration silence_limit = absl::Seconds(10);
    // The same of trainers, which have what serving leaves of the cores.
    absl::Duration trainer_silence_limit = absl::Seconds(10);
  };

  enum class Stream { kControl, kBulk };

  WorkerSession(WorkerId id, const Context& context, std::shared_ptr<LinkTransport> control,
                LinkPeer peer = {});

  void OnMessage(Stream stream, internal::v1::WorkerMessage message);
  // A bulk stream has said Hello to this session. False: it cannot have one (any more), or it is
  // not `peer` who began it: numbers of sessions can be guessed.
  bool AttachBulk(std::shared_ptr<LinkTransport> bulk, const LinkPeer& peer);
  // The worker will send nothing more on this stream: it says good-bye, or it is dead, which looks
  // the same from here. When that is true of all its streams they are ended.
  void StreamFinished(Stream stream);
  // The stream broke: the worker is lost.
  void StreamBroken(Stream stream);
  // The last of this stream, however it ended. When all have ended and none broke, the worker has
  // left in peace.
  void StreamEnded(Stream stream);
  // Ends the session when the worker was silent for too long, or did not stop in time; tells that a
  // trainer is free when it has rested.
  void CheckSilence(absl::Time now);
  // Forgets silence until now, because this process itself did not run for a while.
  void ForgiveSilence(absl::Time now);
  // Ends the session: streams closed with `status`, tasks handed back, series removed.
  void Close(const absl::Status& status);
  // Cuts what Close has not ended by now. Call it some time after Close.
  void Abort();

  // A folder that this worker was told of by this name. PERMISSION_DENIED: it was not, it shares
  // the server's disk, or it is not `peer` who is at the other end, or not any more.
  absl::StatusOr<SharedFolder> FindFolder(std::string_view name, const LinkPeer& peer) const;

  bool closed() const;
  WorkerId id() const { return id_; }

  void SendTask(RequestId task, const Work& work, absl::Time deadline,
                std::atomic<bool>& sent) override;
  void SendCancel(RequestId task) override;
  void SendStop(internal::v1::StopJob::Why why) override;
  absl::Status Assign(std::string_view job_id, std::uint64_t fence) override;
  void EndAfter(absl::Duration bound) override;
  void SendWelcome(const std::vector<LoadOrder>& preload) override;
  void SendLoad(const LoadOrder& order) override;
  void SendCancelLoad(std::uint64_t number) override;
  void SendUnload(const ModelVersion& model) override;

 private:
  enum class State { kAwaitHello, kAwaitBulk, kServing, kIdle, kTraining, kClosed };
  struct Lease {
    std::string job_id;  // empty: none
    std::uint64_t fence = 0;
  };

  void OnHello(internal::v1::Hello hello);
  // Whether it is one that this server can work with.
  absl::StatusOr<std::uint32_t> Admit(const internal::v1::Hello& hello) const;
  bool IsFreeTrainer() const;
  void BeginServing();
  void BeginTraining();
  void TellFree();
  void EndTraining(const absl::Status& why);
  // Whether it was given a job, to which it has said nothing.
  bool IgnoredItsJob() const;
  absl::Status SendJob(const std::string& job_id, std::uint64_t fence);
  void OnCredit(std::uint32_t tasks);
  void OnResult(RequestId task, absl::StatusOr<absl::StatusOr<Outcome>> outcome,
                std::uint32_t more);
  void OnJobUpdate(internal::v1::JobUpdate update);
  void OnModelState(const internal::v1::ModelState& state);
  // Puts names in place of the paths of models where the worker has no use for paths.
  void NameModels(internal::v1::ServerMessage& message);
  void Send(internal::v1::ServerMessage message);
  State Heard();

  const WorkerId id_;
  const Context context_;
  const absl::Time opened_at_;
  const LinkPeer peer_;

  mutable absl::Mutex mutex_;
  State state_ ABSL_GUARDED_BY(mutex_) = State::kAwaitHello;
  std::shared_ptr<LinkTransport> control_ ABSL_GUARDED_BY(mutex_);
  std::shared_ptr<LinkTransport> bulk_ ABSL_GUARDED_BY(mutex_);
  absl::Time last_heard_ ABSL_GUARDED_BY(mutex_);
  std::unique_ptr<WorkerProbe::Series> series_ ABSL_GUARDED_BY(mutex_);
  std::uint32_t early_credit_ ABSL_GUARDED_BY(mutex_) = 0;  // granted before the bulk stream was up
  bool control_finished_ ABSL_GUARDED_BY(mutex_) = false;
  bool bulk_finished_ ABSL_GUARDED_BY(mutex_) = false;
  bool control_ended_ ABSL_GUARDED_BY(mutex_) = false;
  bool bulk_ended_ ABSL_GUARDED_BY(mutex_) = false;
  SessionFolders folders_ ABSL_GUARDED_BY(mutex_);
  Lease lease_ ABSL_GUARDED_BY(mutex_);  // what it trains
  absl::Time end_by_ ABSL_GUARDED_BY(mutex_) = absl::InfiniteFuture();
  absl::Time free_at_ ABSL_GUARDED_BY(mutex_) = absl::InfiniteFuture();  // the end of a rest
  bool job_sent_ ABSL_GUARDED_BY(mutex_) = false;
  bool spoke_of_job_ ABSL_GUARDED_BY(mutex_) = false;
  internal::v1::StopJob::Why early_stop_ ABSL_GUARDED_BY(mutex_) =
      internal::v1::StopJob::WHY_UNSPECIFIED;

  // Written once, by the hello, before the state leaves kAwaitHello.
  internal::v1::Hello hello_;
  std::uint32_t protocol_ = 0;
};

}  // namespace atelier::server
