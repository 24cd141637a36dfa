// Tells the thread sanitizer about absl::Mutex and absl::Notification. The distribution's Abseil is
// not built with the sanitizer, so without this every access that a Mutex orders looks like a race.
// The linker sends our own calls here (--wrap, see TsanAbsl.cmake).
#include <sanitizer/tsan_interface.h>

#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"

// Of the sanitizer's library, without a header.
extern "C" void AnnotateIgnoreReadsBegin(const char* file, int line);
extern "C" void AnnotateIgnoreReadsEnd(const char* file, int line);

// What lies between the pre and the post annotation is ignored by the sanitizer: Abseil's own
// memory, and conditions that Unlock and Await evaluate for other waiters.
#define REAL(name) __asm__("__real_" ATELIER_ABSL_PREFIX name)
#define WRAP(name) __asm__("__wrap_" ATELIER_ABSL_PREFIX name)
#define REAL_CONST(name) __asm__("__real_" ATELIER_ABSL_PREFIX_CONST name)
#define WRAP_CONST(name) __asm__("__wrap_" ATELIER_ABSL_PREFIX_CONST name)

namespace {

constexpr unsigned kWrite = __tsan_mutex_linker_init;
constexpr unsigned kRead = __tsan_mutex_linker_init | __tsan_mutex_read_lock;
using absl::Condition;
using absl::CondVar;
using absl::Duration;
using absl::Mutex;
using absl::Notification;
using absl::Time;

// Runs `real`, which gives the mutex up and comes back with it.
template <typename Real>
auto Waiting(Mutex* mutex, Real real) {
  __tsan_mutex_pre_unlock(mutex, kWrite);
  __tsan_mutex_post_unlock(mutex, kWrite);
  __tsan_mutex_pre_lock(mutex, kWrite);
  struct Relock {
    Mutex* mutex;
    ~Relock() { __tsan_mutex_post_lock(mutex, kWrite, 0); }
  } relock{mutex};
  return real();
}

// HasBeenNotified, which is inline, looks at the flag behind the mutex.
void* FlagOf(const Notification* notification) {
  return reinterpret_cast<char*>(const_cast<Notification*>(notification)) + sizeof(Mutex);
}

}  // namespace

void RealLock(Mutex*) REAL("5Mutex4LockEv");
void WrapLock(Mutex*) WRAP("5Mutex4LockEv");
void WrapLock(Mutex* mutex) {
  __tsan_mutex_pre_lock(mutex, kWrite);
  RealLock(mutex);
  __tsan_mutex_post_lock(mutex, kWrite, 0);
}

void RealUnlock(Mutex*) REAL("5Mutex6UnlockEv");
void WrapUnlock(Mutex*) WRAP("5Mutex6UnlockEv");
void WrapUnlock(Mutex* mutex) {
  __tsan_mutex_pre_unlock(mutex, kWrite);
  RealUnlock(mutex);
  __tsan_mutex_post_unlock(mutex, kWrite);
}

void RealReaderLock(Mutex*) REAL("5Mutex10ReaderLockEv");
void WrapReaderLock(Mutex*) WRAP("5Mutex10ReaderLockEv");
void WrapReaderLock(Mutex* mutex) {
  __tsan_mutex_pre_lock(mutex, kRead);
  RealReaderLock(mutex);
  __tsan_mutex_post_lock(mutex, kRead, 0);
}

void RealReaderUnlock(Mutex*) REAL("5Mutex12ReaderUnlockEv");
void WrapReaderUnlock(Mutex*) WRAP("5Mutex12ReaderUnlockEv");
void WrapReaderUnlock(Mutex* mutex) {
  __tsan_mutex_pre_unlock(mutex, kRead);
  RealReaderUnlock(mutex);
  __tsan_mutex_post_unlock(mutex, kRead);
}

void RealAwait(Mutex*, const Condition&) REAL("5Mutex5AwaitERKNS0_9ConditionE");
void WrapAwait(Mutex*, const Condition&) WRAP("5Mutex5AwaitERKNS0_9ConditionE");
void WrapAwait(Mutex* mutex, const Condition& condition) {
  Waiting(mutex, [&] { RealAwait(mutex, condition); });
}

bool RealAwaitTimeout(Mutex*, const Condition&, Duration)
    REAL("5Mutex16AwaitWithTimeoutERKNS0_9ConditionENS0_8DurationE");
bool WrapAwaitTimeout(Mutex*, const Condition&, Duration)
    WRAP("5Mutex16AwaitWithTimeoutERKNS0_9ConditionENS0_8DurationE");
bool WrapAwaitTimeout(Mutex* mutex, const Condition& condition, Duration timeout) {
  return Waiting(mutex, [&] { return RealAwaitTimeout(mutex, condition, timeout); });
}

bool RealAwaitDeadline(Mutex*, const Condition&, Time)
    REAL("5Mutex17AwaitWithDeadlineERKNS0_9ConditionENS0_4TimeE");
bool WrapAwaitDeadline(Mutex*, const Condition&, Time)
    WRAP("5Mutex17AwaitWithDeadlineERKNS0_9ConditionENS0_4TimeE");
bool WrapAwaitDeadline(Mutex* mutex, const Condition& condition, Time deadline) {
  return Waiting(mutex, [&] { return RealAwaitDeadline(mutex, condition, deadline); });
}

void RealWait(CondVar*, Mutex*) REAL("7CondVar4WaitEPNS0_5MutexE");
void WrapWait(CondVar*, Mutex*) WRAP("7CondVar4WaitEPNS0_5MutexE");
void WrapWait(CondVar* variable, Mutex* mutex) {
  Waiting(mutex, [&] { RealWait(variable, mutex); });
}

bool RealWaitTimeout(CondVar*, Mutex*, Duration)
    REAL("7CondVar15WaitWithTimeoutEPNS0_5MutexENS0_8DurationE");
bool WrapWaitTimeout(CondVar*, Mutex*, Duration)
    WRAP("7CondVar15WaitWithTimeoutEPNS0_5MutexENS0_8DurationE");
bool WrapWaitTimeout(CondVar* variable, Mutex* mutex, Duration timeout) {
  return Waiting(mutex, [&] { return RealWaitTimeout(variable, mutex, timeout); });
}

bool RealWaitDeadline(CondVar*, Mutex*, Time)
    REAL("7CondVar16WaitWithDeadlineEPNS0_5MutexENS0_4TimeE");
bool WrapWaitDeadline(CondVar*, Mutex*, Time)
    WRAP("7CondVar16WaitWithDeadlineEPNS0_5MutexENS0_4TimeE");
bool WrapWaitDeadline(CondVar* variable, Mutex* mutex, Time deadline) {
  return Waiting(mutex, [&] { return RealWaitDeadline(variable, mutex, deadline); });
}

void RealNotify(Notification*) REAL("12Notification6NotifyEv");
void WrapNotify(Notification*) WRAP("12Notification6NotifyEv");
void WrapNotify(Notification* notification) {
  __tsan_release(FlagOf(notification));
  // It looks at the flag again, under a mutex that the destructor waits for and the sanitizer does
  // not see.
  AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
  RealNotify(notification);
  AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
}

void RealNotified(const Notification*) REAL_CONST("12Notification19WaitForNotificationEv");
void WrapNotified(const Notification*) WRAP_CONST("12Notification19WaitForNotificationEv");
void WrapNotified(const Notification* notification) {
  RealNotified(notification);
  __tsan_acquire(FlagOf(notification));
}

bool RealNotifiedTimeout(const Notification*, Duration)
    REAL_CONST("12Notification30WaitForNotificationWithTimeoutENS0_8DurationE");
bool WrapNotifiedTimeout(const Notification*, Duration)
    WRAP_CONST("12Notification30WaitForNotificationWithTimeoutENS0_8DurationE");
bool WrapNotifiedTimeout(const Notification* notification, Duration timeout) {
  const bool notified = RealNotifiedTimeout(notification, timeout);
  __tsan_acquire(FlagOf(notification));
  return notified;
}

bool RealNotifiedDeadline(const Notification*, Time)
    REAL_CONST("12Notification31WaitForNotificationWithDeadlineENS0_4TimeE");
bool WrapNotifiedDeadline(const Notification*, Time)
    WRAP_CONST("12Notification31WaitForNotificationWithDeadlineENS0_4TimeE");
bool WrapNotifiedDeadline(const Notification* notification, Time deadline) {
  const bool notified = RealNotifiedDeadline(notification, deadline);
  __tsan_acquire(FlagOf(notification));
  return notified;
}
