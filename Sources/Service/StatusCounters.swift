// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// Counts what the daemon does.
final class StatusCounters: Sendable {
    private let value = Mutex(DaemonStatus())

    var current: DaemonStatus { value.withLock { $0 } }

    func update(_ change: (inout sending DaemonStatus) -> Void) {
        value.withLock { change(&$0) }
    }
}
