# Deploys the package of a release: uploads its programs and its template, and creates a CloudFormation stack of the template.
# docs/deploying.md describes the package. variables.tf is generated from the template's parameters.

terraform {
  required_version = ">= 1.5"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.0"
    }
  }
}

variable "package_directory" {
  description = "Directory with the files of a release: template-<version>.yaml, the zip files and SHA256SUMS."
  type        = string
}

variable "package_version" {
  description = "Version of the release, as in the name of its template: 0.1.0."
  type        = string
}

variable "code_bucket" {
  description = "Existing bucket for the programs and the template, in the region of the stack."
  type        = string
}

variable "code_prefix" {
  description = "Beginning of the keys in that bucket: empty, or with a slash at its end."
  type        = string
  default     = "onewrite/"
}

variable "stack_name" {
  description = "Name of the stack."
  type        = string
  default     = "onewrite"
}

variable "tags" {
  description = "Tags of the stack. CloudFormation gives them to its resources."
  type        = map(string)
  default     = {}
}

data "aws_s3_bucket" "code" {
  bucket = var.code_bucket
}

locals {
  programs = [for function in ["ingest", "forward", "complete"] : "${function}-${coalesce(var.architecture, "arm64")}.zip"]
  template = "template-${var.package_version}.yaml"

  # The checksums are part of the keys, and so of a parameter. Another package of the same version has other keys, so that
  # CloudFormation updates the code. If CloudFormation rolls an update back, the parameter changes back too, so that Terraform
  # sees the difference and repeats the update.
  checksums = file("${var.package_directory}/SHA256SUMS")
  prefix    = "${var.code_prefix}${substr(sha256(local.checksums), 0, 12)}/"
  keys      = { for name in concat(local.programs, [local.template]) : name => "${local.prefix}${var.package_version}/${name}" }

  # A parameter that is not set has the default of the template, also if an earlier deployment set it.
  parameters = merge(
    { for name, value in local.template_parameters : name => tostring(value) if value != null },
    { CodeBucket = var.code_bucket, CodePrefix = local.prefix },
  )
}

# One object for each key. With one object for each file, whose key changes, Terraform could upload a file to a key and then
# delete that key: when it cleans up after an update that failed and was given up.
resource "aws_s3_object" "package" {
  for_each = { for name, key in local.keys : key => name }

  bucket = var.code_bucket
  key    = each.key
  source = "${var.package_directory}/${each.value}"

  lifecycle {
    # A rollback of the stack needs the programs of the version before, so they are deleted after the update.
    create_before_destroy = true

    precondition {
      condition     = strcontains(local.checksums, "${filesha256("${var.package_directory}/${each.value}")}  ${each.value}\n")
      error_message = "${each.value} is not the file in SHA256SUMS. Download the release again."
    }
  }
}

resource "aws_cloudformation_stack" "onewrite" {
  name         = var.stack_name
  template_url = "https://${data.aws_s3_bucket.code.bucket_regional_domain_name}/${local.keys[local.template]}"
  parameters   = local.parameters
  capabilities = ["CAPABILITY_IAM"]
  tags         = var.tags

  depends_on = [aws_s3_object.package]
}

output "outputs" {
  description = "The outputs of the stack, by the names in the template: NotificationQueueUrl and others."
  value       = aws_cloudformation_stack.onewrite.outputs
}
