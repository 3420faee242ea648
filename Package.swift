// swift-tools-version: 6.2
// SPDX-License-Identifier: Apache-2.0
import PackageDescription

let optimised: [CSetting] = [.unsafeFlags(["-O3", "-fno-math-errno"])]

let package = Package(
    name: "deltakv",
    products: [.executable(name: "deltakv", targets: ["deltakv"])],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-collections", from: "1.6.0"),
        .package(url: "https://github.com/apple/swift-configuration", from: "1.4.0", traits: [.defaults, "YAML"]),
        .package(url: "https://github.com/apple/swift-crypto", from: "4.5.2"),
        .package(url: "https://github.com/apple/swift-http-types", from: "1.8.0"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-metrics", from: "2.13.0"),
        .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.28.1", traits: []),
        .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
    ],
    targets: [
        // Innermost first; imports point only up this list. Whatever a target imports is among its dependencies: a module that
        // comes in only through another is not built again when it changes.
        .target(name: "CKernels", cSettings: optimised),
        .target(name: "CCompression", cSettings: optimised),
        .target(name: "COpenBLAS", linkerSettings: [.linkedLibrary("dl")]),
        .systemLibrary(name: "CPostgreSQL", pkgConfig: "libpq", providers: [.apt(["libpq-dev"])]),
        .systemLibrary(name: "CLZ4", pkgConfig: "liblz4", providers: [.apt(["liblz4-dev"])]),
        .target(name: "Kernels", dependencies: ["CKernels", "COpenBLAS"]),
        .target(name: "ModelFiles", dependencies: [.product(name: "Crypto", package: "swift-crypto")]),
        .target(
            name: "CacheStore",
            dependencies: ["CLZ4", "ModelFiles", .product(name: "Crypto", package: "swift-crypto")]),
        .target(name: "Jinja"),
        .target(name: "Tokenization", dependencies: ["Jinja", "ModelFiles"]),
        .target(name: "StructuredOutput", dependencies: ["ModelFiles", "Tokenization"]),
        .target(name: "Inference", dependencies: ["Kernels", "ModelFiles"]),
        .target(
            name: "Compression",
            dependencies: [
                "CCompression", "Inference", "Kernels", "ModelFiles", .product(name: "Crypto", package: "swift-crypto"),
            ]),
        .target(
            name: "Engine",
            dependencies: [
                "CacheStore", "Compression", "Inference", "Kernels", "StructuredOutput", "Tokenization",
                .product(name: "DequeModule", package: "swift-collections"),
            ]),
        .target(name: "Evaluation", dependencies: ["Compression", "Inference", "Kernels", "Tokenization"]),
        .target(
            name: "PostgreSQL",
            dependencies: [
                "CPostgreSQL", .product(name: "DequeModule", package: "swift-collections"),
                .product(name: "Logging", package: "swift-log"),
            ]),
        .target(
            name: "Database",
            dependencies: [
                "PostgreSQL", .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "Logging", package: "swift-log"),
            ]),
        .target(name: "JobQueue", dependencies: ["PostgreSQL", .product(name: "Logging", package: "swift-log")]),
        .target(name: "BatchFiles", dependencies: ["JobQueue", "ModelFiles"]),
        .target(
            name: "Monitoring",
            dependencies: [
                .product(name: "CoreMetrics", package: "swift-metrics"),
                .product(name: "Logging", package: "swift-log"),
            ]),
        .target(
            name: "Web",
            dependencies: [
                "JobQueue", "Monitoring", "PostgreSQL",
                .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "HTTPTypes", package: "swift-http-types"),
                .product(name: "Hummingbird", package: "hummingbird"), .product(name: "Logging", package: "swift-log"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ], resources: [.copy("Page")]),
        .target(
            name: "Service",
            dependencies: [
                "CacheStore", "Compression", "Database", "Engine", "Inference", "JobQueue", "Kernels", "ModelFiles",
                "Monitoring",
                "PostgreSQL", "StructuredOutput", "Tokenization", "Yams",
                .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "Configuration", package: "swift-configuration"),
                .product(name: "CoreMetrics", package: "swift-metrics"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ]),
        .executableTarget(
            name: "deltakv",
            dependencies: [
                "BatchFiles", "CacheStore", "Compression", "Database", "Engine", "Evaluation", "Inference", "JobQueue",
                "Kernels", "ModelFiles", "Monitoring", "PostgreSQL", "Service", "Tokenization", "Web",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ]),
        // A worker without a model, for ops/soak and ops/bench/queue.
        .executableTarget(
            name: "queue-worker",
            dependencies: [
                "Database", "JobQueue", "PostgreSQL",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "Logging", package: "swift-log"),
            ]),

        // A PostgreSQL server for the tests of one process.
        .target(
            name: "TestSupport",
            dependencies: ["Database", "PostgreSQL", .product(name: "Logging", package: "swift-log")],
            path: "Tests/TestSupport"),
        // Random numbers that a seed fixes.
        .target(name: "SeededRandom", path: "Tests/SeededRandom"),
        // Counts allocations, for tests of loops that are to make none.
        .target(name: "AllocationCounter", path: "Tests/AllocationCounter"),
        .testTarget(name: "KernelsTests", dependencies: ["CKernels", "Kernels"]),
        .testTarget(name: "ModelFilesTests", dependencies: ["ModelFiles", "SeededRandom"], exclude: ["Golden"]),
        // Chunks whose contents their numbers fix, and a process of its own that reads and writes them, for tests that kill it.
        .target(name: "CacheSamples", dependencies: ["CacheStore", "SeededRandom"], path: "Tests/CacheSamples"),
        .executableTarget(
            name: "CacheWorker", dependencies: ["CacheSamples", "CacheStore", "SeededRandom"], path: "Tests/CacheWorker"
        ),
        .testTarget(
            name: "CacheStoreTests",
            dependencies: [
                "CacheSamples", "CacheStore", "CacheWorker", "SeededRandom",
                .product(name: "Crypto", package: "swift-crypto"),
            ], exclude: ["Golden"]),
        .testTarget(name: "JinjaTests", dependencies: ["Jinja", "ModelFiles", "SeededRandom"], exclude: ["Golden"]),
        .testTarget(
            name: "TokenizationTests", dependencies: ["ModelFiles", "SeededRandom", "Tokenization"], exclude: ["Golden"]
        ),
        .testTarget(
            name: "InferenceTests", dependencies: ["AllocationCounter", "Inference", "Kernels", "ModelFiles"],
            exclude: ["Golden"]),
        .testTarget(
            name: "ReaderFuzzTests",
            dependencies: ["AllocationCounter", "Inference", "ModelFiles", "SeededRandom", "Tokenization"]),
        .testTarget(
            name: "CompressionTests",
            dependencies: ["CCompression", "Compression", "Inference", "Kernels", "ModelFiles"], exclude: ["Golden"]),
        .testTarget(
            name: "StructuredOutputTests",
            dependencies: ["ModelFiles", "SeededRandom", "StructuredOutput", "Tokenization"]),
        .testTarget(
            name: "EngineTests",
            dependencies: [
                "CacheStore", "Compression", "Engine", "Inference", "Kernels", "ModelFiles", "SeededRandom",
                "StructuredOutput", "Tokenization",
            ],
            exclude: ["Golden"]),
        .testTarget(
            name: "EvaluationTests",
            dependencies: ["Compression", "Evaluation", "Inference", "Kernels", "ModelFiles", "Tokenization"],
            exclude: ["Golden"]),
        .testTarget(name: "PostgreSQLTests", dependencies: ["PostgreSQL", "TestSupport"]),
        .testTarget(name: "DatabaseTests", dependencies: ["Database", "PostgreSQL", "TestSupport"]),
        .testTarget(
            name: "BatchFilesTests",
            dependencies: ["BatchFiles", "Database", "JobQueue", "ModelFiles", "PostgreSQL", "TestSupport"]),
        .testTarget(
            name: "JobQueueTests",
            dependencies: [
                "Database", "JobQueue", "PostgreSQL", "SeededRandom", "TestSupport",
                .product(name: "Logging", package: "swift-log"),
            ]),
        .testTarget(
            name: "MonitoringTests",
            dependencies: [
                "Monitoring", .product(name: "CoreMetrics", package: "swift-metrics"),
                .product(name: "Logging", package: "swift-log"),
            ]),
        .testTarget(
            name: "WebTests",
            dependencies: [
                "Database", "JobQueue", "Monitoring", "PostgreSQL", "TestSupport", "Web",
                .product(name: "CoreMetrics", package: "swift-metrics"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ]),
        .testTarget(
            name: "ServiceTests",
            dependencies: [
                "CacheSamples", "CacheStore", "Compression", "Database", "Engine", "Inference", "JobQueue",
                "ModelFiles",
                "Monitoring", "PostgreSQL", "Service", "TestSupport", "Tokenization",
                .product(name: "Logging", package: "swift-log"),
            ], exclude: ["Golden"]),
        .testTarget(
            name: "CommandTests",
            dependencies: [
                "CacheSamples", "CacheStore", "Database", "Evaluation", "PostgreSQL", "Service", "TestSupport",
                "deltakv", "queue-worker",
            ], exclude: ["Golden"]),
    ],
    swiftLanguageModes: [.v6]
)
