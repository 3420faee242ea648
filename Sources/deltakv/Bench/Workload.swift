// SPDX-License-Identifier: Apache-2.0

import ArgumentParser

/// `8x4000`: a batch of 8 different prompts of 4,000 tokens each.
struct Workload: ExpressibleByArgument, Equatable, Sendable {
    var batch: Int
    var prompt: Int

    init(batch: Int, prompt: Int) {
        self.batch = batch
        self.prompt = prompt
    }

    init?(argument: String) {
        let parts = argument.split(separator: "x", omittingEmptySubsequences: false).map { Int($0) }
        guard parts.count == 2, let batch = parts[0], let prompt = parts[1], batch > 0, prompt > 0 else { return nil }
        self.batch = batch
        self.prompt = prompt
    }

    var defaultValueDescription: String { "\(batch)x\(prompt)" }
}

/// A list of workloads: `1x4000,8x4000`.
struct WorkloadList: ExpressibleByArgument, Equatable, Sendable {
    var workloads: [Workload]

    init(workloads: [Workload]) { self.workloads = workloads }

    init?(argument: String) {
        let parsed = argument.split(separator: ",", omittingEmptySubsequences: false).map {
            Workload(argument: String($0))
        }
        guard !parsed.isEmpty, parsed.allSatisfy({ $0 != nil }) else { return nil }
        workloads = parsed.compactMap { $0 }
    }

    var defaultValueDescription: String { workloads.map(\.defaultValueDescription).joined(separator: ",") }
}
