// What Abseil's mutexes look for beside locking.
#pragma once

namespace atelier {

// Stops the search for circles of locks in this process. Distributions build Abseil without NDEBUG,
// and each lock is then noted in a graph behind one more lock: some 7 % of a busy server's time,
// and the end of the process where a circle is found that no two threads ever close. For the
// programs that serve; tests and sanitizers go on looking.
void LeaveLockOrderToTests();

}  // namespace atelier
