#include "server/dispatch/link/worker_files_service.h"

#include <spdlog/spdlog.h>

#include <memory>
#include <string>

#include "absl/cleanup/cleanup.h"
#include "common/errors.h"
#include "common/rpc/grpc_status.h"
#include "common/status_macros.h"
#include "server/dispatch/files/folder_reader.h"
#include "server/dispatch/files/folder_writer.h"
#include "server/dispatch/link/peer_of.h"

namespace atelier::server {
namespace {

constexpr std::size_t kPiece = 1U << 20U;

absl::Status TooManyCalls() {
  return absl::UnavailableError("too many files are read and written; try again");
}

absl::Status SessionOver() { return absl::PermissionDeniedError("the session is over"); }

}  // namespace

grpc::Status WorkerFilesService::ListFiles(grpc::ServerContext* context,
                                           const internal::v1::ListFilesRequest* request,
                                           grpc::ServerWriter<internal::v1::FileEntry>* writer) {
  return Run(*context, [&] { return List(*context, *request, *writer); });
}

grpc::Status WorkerFilesService::ReadFile(grpc::ServerContext* context,
                                          const internal::v1::ReadFileRequest* request,
                                          grpc::ServerWriter<internal::v1::FileChunk>* writer) {
  return Run(*context, [&] { return Read(*context, *request, *writer); });
}

grpc::Status WorkerFilesService::WriteFiles(grpc::ServerContext* context,
                                            grpc::ServerReader<internal::v1::FileWrite>* reader,
                                            internal::v1::WriteFilesReply* reply) {
  return Run(*context, [&] { return Write(*context, *reader, *reply); });
}

grpc::Status WorkerFilesService::Run(grpc::ServerContext& context,
                                     absl::FunctionRef<absl::Status()> call) {
  bool room = false;
  {
    const absl::MutexLock lock(&mutex_);
    CancelOrphans();
    room = ++calls_ <= kMaxCalls;
  }
  const absl::Status status = room ? call() : TooManyCalls();
  {
    const absl::MutexLock lock(&mutex_);
    --calls_;
    under_way_.erase(&context);
  }
  if (!status.ok() && !absl::IsUnavailable(status)) {
    spdlog::warn("a worker's call for files failed: {}", std::string(status.message()));
  }
  return ToGrpcStatus(status);
}

absl::Status WorkerFilesService::Enter(grpc::ServerContext& context, const Call& call) {
  const absl::MutexLock lock(&mutex_);
  int same = 0;
  int lists = 0;
  for (const auto& [other, its] : under_way_) {
    same += its.session == call.session ? 1 : 0;
    lists += its.session == call.session && its.lists ? 1 : 0;
  }
  if (same >= kMaxSessionCalls || (call.lists && lists >= kMaxSessionLists) ||
      (same > 0 && calls_ > kMaxCalls - kReservedCalls)) {
    return TooManyCalls();
  }
  under_way_[&context] = call;
  return absl::OkStatus();
}

void WorkerFilesService::CancelOrphans() {
  for (const auto& [context, call] : under_way_) {
    const std::shared_ptr<WorkerSession> session = sessions_.Find(call.session);
    if (session == nullptr || session->closed()) {
      context->TryCancel();
    }
  }
}

bool WorkerFilesService::IsWanted(const grpc::ServerContext& context, std::uint64_t session,
                                  const std::string& folder, const LinkPeer& peer) const {
  return !context.IsCancelled() && sessions_.FindFolder(session, folder, peer).ok();
}

absl::Status WorkerFilesService::List(grpc::ServerContext& context,
                                      const internal::v1::ListFilesRequest& request,
                                      grpc::ServerWriter<internal::v1::FileEntry>& writer) {
  const LinkPeer peer = PeerOf(context);
  ATELIER_ASSIGN_OR_RETURN(const SharedFolder folder,
                           sessions_.FindFolder(request.session(), request.folder(), peer));
  ATELIER_RETURN_IF_ERROR(Enter(context, {.session = request.session(), .lists = true}));
  internal::v1::FileEntry entry;
  bool written = true;
  return ListSharedFiles(
      folder, digests_,
      [&] { return written && IsWanted(context, request.session(), request.folder(), peer); },
      [&](const SharedFile& file) {
        entry.set_path(file.path);
        entry.set_size(file.size);
        entry.set_sha256(file.sha256);
        written = writer.Write(entry);
      });
}

absl::Status WorkerFilesService::Read(grpc::ServerContext& context,
                                      const internal::v1::ReadFileRequest& request,
                                      grpc::ServerWriter<internal::v1::FileChunk>& writer) {
  const LinkPeer peer = PeerOf(context);
  ATELIER_ASSIGN_OR_RETURN(const SharedFolder folder,
                           sessions_.FindFolder(request.session(), request.folder(), peer));
  ATELIER_RETURN_IF_ERROR(Enter(context, {.session = request.session()}));
  ATELIER_ASSIGN_OR_RETURN(const Descriptor file, OpenSharedFile(folder, request.path()));
  internal::v1::FileChunk chunk;
  bool wanted = true;
  ATELIER_RETURN_IF_ERROR(
      ReadSharedFile(file, request.offset(), kPiece, [&](std::string_view bytes) {
        chunk.set_data(bytes.data(), bytes.size());
        wanted =
            IsWanted(context, request.session(), request.folder(), peer) && writer.Write(chunk);
        return wanted;
      }));
  return wanted ? absl::OkStatus() : SessionOver();
}

absl::Status WorkerFilesService::Write(grpc::ServerContext& context,
                                       grpc::ServerReader<internal::v1::FileWrite>& reader,
                                       internal::v1::WriteFilesReply& reply) {
  internal::v1::FileWrite message;
  if (!reader.Read(&message) || !message.has_begin()) {
    return InvalidField("begin", "must be the first message");
  }
  const LinkPeer peer = PeerOf(context);
  const internal::v1::WriteBegin begin = message.begin();
  ATELIER_ASSIGN_OR_RETURN(const SharedFolder folder,
                           sessions_.FindFolder(begin.session(), begin.folder(), peer));
  if (folder.kind != SharedFolder::Kind::kAttempt) {
    return absl::PermissionDeniedError("only the folder of the attempt may be written");
  }
  ATELIER_RETURN_IF_ERROR(Enter(context, {.session = begin.session()}));
  {
    const absl::MutexLock lock(&mutex_);
    if (!writing_.insert(folder.path).second) {
      return absl::UnavailableError(
          "another call changes this folder; try again when it has ended");
    }
  }
  const absl::Cleanup done = [&] {
    const absl::MutexLock lock(&mutex_);
    writing_.erase(folder.path);
  };
  FolderWriter files({.folder = folder.path, .digests = &digests_, .current = [&] {
                        return jobs_.HoldsLease(folder.job_id, folder.fence);
                      }});
  while (reader.Read(&message)) {
    if (!IsWanted(context, begin.session(), begin.folder(), peer)) {
      return SessionOver();
    }
    ATELIER_RETURN_IF_ERROR(files.Apply(message));
  }
  if (context.IsCancelled()) {
    return absl::CancelledError("the worker is gone");
  }
  ATELIER_RETURN_IF_ERROR(files.Finish());
  reply.set_files(files.files());
  return absl::OkStatus();
}

}  // namespace atelier::server
