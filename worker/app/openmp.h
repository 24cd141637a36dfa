// How OpenMP's threads wait for each other in a training worker.
#pragma once

namespace atelier::worker {

// Makes OpenMP's idle threads sleep soon instead of spinning, by starting the program over once
// with OMP_WAIT_POLICY set (the library reads it before main). Training shares its cores with
// serving: two teams that spin on the same cores each wait for a thread that the other one keeps
// from running. A policy that the environment already names is left alone. Call first in main;
// returns when there is nothing to do.
void SleepWhileWaiting(char** argv);

}  // namespace atelier::worker
