// What is used of the official clients of the clouds. They are optional, so nothing here is compiled against them.
// oxlint-disable typescript/no-extraneous-class

declare module '@aws-sdk/client-secrets-manager' {
  export class GetSecretValueCommand {
    constructor(input: { SecretId: string })
  }
  export class PutSecretValueCommand {
    constructor(input: { SecretId: string; SecretString: string })
  }
  export class SecretsManagerClient {
    constructor(options: { region?: string; endpoint?: string; maxAttempts?: number })
    send(
      command: GetSecretValueCommand | PutSecretValueCommand,
      options: { abortSignal: AbortSignal },
    ): Promise<{ readonly SecretString?: string; readonly SecretBinary?: Uint8Array; readonly VersionId?: string }>
    destroy(): void
  }
}

declare module '@google-cloud/secret-manager' {
  export class SecretManagerServiceClient {
    readonly auth: { getClient(): Promise<unknown> }
    constructor(options: object)
    accessSecretVersion(
      request: { name: string },
      options: { timeout: number },
    ): Promise<
      readonly [
        { readonly name?: string | null; readonly payload?: { readonly data?: Uint8Array | string | null } | null },
      ]
    >
    addSecretVersion(
      request: { parent: string; payload: { data: Uint8Array } },
      options: { timeout: number },
    ): Promise<unknown>
    close(): Promise<void>
  }
}

declare module '@azure/keyvault-secrets' {
  interface Kept {
    readonly value?: string
    readonly properties: {
      readonly version?: string
      readonly contentType?: string
      readonly tags?: Readonly<Record<string, string>>
    }
  }
  export class SecretClient {
    constructor(vaultUrl: string, credential: object, options?: object)
    getSecret(name: string, options: { abortSignal: AbortSignal }): Promise<Kept>
    setSecret(
      name: string,
      value: string,
      options: { abortSignal: AbortSignal; contentType?: string; tags?: Readonly<Record<string, string>> },
    ): Promise<Kept>
  }
}

declare module '@azure/identity' {
  export class DefaultAzureCredential {}
}
