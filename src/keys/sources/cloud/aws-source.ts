// A secret in AWS Secrets Manager, by Amazon's own client, which finds its credentials as every program on AWS does.

import type * as AwsLibrary from '@aws-sdk/client-secrets-manager'
import type { AwsReference } from '../../../config/secret-schema.ts'
import { errorCode } from '../../../config/values/file-errors.ts'
import { SourceFault, withoutFinalBreak, type SecretSource } from '../source.ts'
import { fieldOf, withField } from './json-field.ts'
import { loadLibrary } from './library.ts'

const packages = ['@aws-sdk/client-secrets-manager']

/** `load`: the client, where it is not the installed one. */
export function awsSource(
  { secret, field, region, endpoint }: AwsReference,
  load: () => Promise<typeof AwsLibrary> = () => import('@aws-sdk/client-secrets-manager'),
): SecretSource {
  const place = `${field === null ? '' : `the field ${field} of `}the AWS secret ${secret}${region === null ? '' : ` in ${region}`}`
  let opened: Promise<{ library: typeof AwsLibrary; client: AwsLibrary.SecretsManagerClient }> | null = null

  async function open() {
    const library = await loadLibrary(place, packages, load)
    const options = { ...(region === null ? {} : { region }), ...(endpoint === null ? {} : { endpoint }) }
    return { library, client: new library.SecretsManagerClient({ ...options, maxAttempts: 2 }) }
  }

  async function ask<Answer>(
    signal: AbortSignal,
    doing: 'read' | 'written',
    work: (library: typeof AwsLibrary, client: AwsLibrary.SecretsManagerClient) => Promise<Answer>,
  ): Promise<Answer> {
    opened ??= open()
    opened.catch(() => (opened = null))
    const { library, client } = await opened
    try {
      return await work(library, client)
    } catch (error) {
      throw error instanceof SourceFault ? error : faultOf(error, doing, signal)
    }
  }

  /** Its own words may quote what was sent, so only its name is looked at. */
  function faultOf(error: unknown, doing: 'read' | 'written', signal: AbortSignal): SourceFault {
    const name = error instanceof Error ? error.name : ''
    if (signal.aborted) return new SourceFault('unavailable', `${place} gave no answer in time`)
    if (name === 'ResourceNotFoundException')
      return new SourceFault('absent', `${place} is not there: no secret has this name or ARN in this region`)
    if (name === 'InvalidRequestException')
      return new SourceFault(
        'absent',
        `${place} is not there: it is marked for deletion, or has no value; restore it, or write the key anew`,
      )
    if (name === 'AccessDeniedException')
      return new SourceFault(
        'denied',
        `${place} may not be ${doing}: the role needs secretsmanager:${doing === 'read' ? 'GetSecretValue' : 'GetSecretValue and secretsmanager:PutSecretValue'} on it, and the use of its KMS key`,
      )
    if (/^(ExpiredToken|UnrecognizedClient|InvalidSignature|InvalidClientTokenId|IncompleteSignature)/.test(name))
      return new SourceFault(
        'denied',
        `${place} may not be ${doing}: AWS does not accept the credentials of this machine (${name})`,
      )
    if (name === 'CredentialsProviderError')
      return new SourceFault(
        'unavailable',
        `${place} cannot be asked: there are no AWS credentials here; give the machine a role, or set the variables of the AWS SDK`,
      )
    if (error instanceof Error && error.message === 'Region is missing')
      return new SourceFault(
        'unavailable',
        `${place} cannot be asked: this machine has no region; name one by \`region\`, or set AWS_REGION`,
      )
    if (name === 'DecryptionFailure')
      return new SourceFault(
        'denied',
        `${place} cannot be decrypted: the role may not use its KMS key, or the key is disabled`,
      )
    const why = name === 'Error' ? (errorCode(error) ?? '') : name
    return new SourceFault(
      'unavailable',
      `${place} could not be ${doing}: AWS gave no answer that can be used (${/^\w{1,60}$/.test(why) ? why : 'unknown error'})`,
    )
  }

  async function readWhole(signal: AbortSignal): Promise<{ text: string; version: string | null }> {
    const answer = await ask(signal, 'read', (library, client) =>
      client.send(new library.GetSecretValueCommand({ SecretId: secret }), { abortSignal: signal }),
    )
    const bytes = answer.SecretBinary
    const text = answer.SecretString ?? (bytes === undefined ? null : Buffer.from(bytes).toString('utf8'))
    if (text === null) throw new SourceFault('wrong', `${place} cannot be used: it holds neither text nor bytes`)
    return { text, version: answer.VersionId ?? null }
  }

  return {
    place,
    async read(signal) {
      const whole = await readWhole(signal)
      const found = field === null ? { text: whole.text } : fieldOf(whole.text, field)
      if ('fault' in found) throw new SourceFault('wrong', `${place} cannot be used: ${found.fault}`)
      return { text: withoutFinalBreak(found.text), version: whole.version }
    },
    async write(text, signal) {
      const whole = field === null ? text : withField((await readWhole(signal)).text, field, text)
      if (whole === null)
        throw new SourceFault(
          'wrong',
          `${place} cannot be written: it is no JSON object, and \`field\` names a member of one`,
        )
      await ask(signal, 'written', (library, client) =>
        client.send(new library.PutSecretValueCommand({ SecretId: secret, SecretString: whole }), {
          abortSignal: signal,
        }),
      )
    },
  }
}
